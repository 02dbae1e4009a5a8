const { createServer } = require('node:http')
const ms = require('ms')
const built = require('./dist/built.json')

createServer((_request, response) => {
  let tools = 'without tools'
  try {
    require('semver')
    tools = 'with tools'
  } catch {}
  response.end(`${ms(60_000)}, ${built}, ${tools}\n`)
}).listen(process.env.PORT)
