import { createServer } from 'node:http'

/** A mirror of a language's own makers on the loopback: bytes by path. It notes what is asked. */
export async function serveFiles(files: Map<string, Buffer>) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    const bytes = files.get(request.url ?? '')
    response.writeHead(bytes ? 200 : 404).end(bytes)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const close = () => server.close()
  return { url: `http://127.0.0.1:${port}`, asked, files, [Symbol.dispose]: close }
}

export type Mirror = Awaited<ReturnType<typeof serveFiles>>
