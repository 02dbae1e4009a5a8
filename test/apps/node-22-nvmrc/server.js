const { createServer } = require('node:http')

createServer((request, response) => response.end(process.version)).listen(process.env.PORT)
