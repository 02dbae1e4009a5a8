const { createServer } = require('node:http')
const { greet } = require('@shop/greet')

createServer((_request, response) => response.end(`${greet()}\n`)).listen(process.env.PORT)
