const { createServer } = require('node:http')
const ms = require('ms')

createServer((request, response) => response.end(`TITLE ${ms('1s')}`)).listen(process.env.PORT)
