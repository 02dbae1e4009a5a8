const { createServer } = require('node:http')
const ms = require('ms')

createServer((request, response) => response.end(`one day is ${ms('1d')} ms\n`)).listen(
  process.env.PORT,
)
