import { createServer } from 'node:http'

const text = 'Hello from paas'
const server = createServer((request, response) => {
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`${text}\n${process.env.GIT_REV ?? 'no commit'}\n`)
})

server.listen(process.env.PORT ?? 5000, () => console.log('listening'))

// Answers what has begun, then ends: no request is lost in a deploy.
process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
