import { Agent, request } from 'node:http'

const connections = 16

/** Answers a second that so many connections get, each asking again at once, for `ms`. */
export async function throughput(o: { port: number; host: string; ms: number }): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const began = performance.now()
  const until = began + o.ms
  let answers = 0
  const worker = async (): Promise<void> => {
    while (performance.now() < until) {
      await ask(agent, o)
      answers += 1
    }
  }
  await Promise.all(Array.from({ length: connections }, worker))
  agent.destroy()
  return (answers / (performance.now() - began)) * 1000
}

function ask(agent: Agent, { port, host }: { port: number; host: string }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const headers = { host }
  const call = request({ host: '127.0.0.1', port, agent, headers, timeout: 20_000 })
  call.on('error', reject)
  call.on('timeout', () => call.destroy(new Error('no answer within 20 s')))
  call.on('response', (response) => {
    if (response.statusCode !== 200) reject(new Error(`answered with ${response.statusCode}`))
    response.resume().on('error', reject).on('end', resolve)
  })
  call.end()
  return promise
}

/**
 * What `b` changes of a throughput: the median over pairs of windows of 1 − b ÷ a, in per cent.
 * Windows are short and the order turns round with each pair, so that drifts cancel out.
 */
export async function slowdowns(
  pairs: number,
  a: () => Promise<number>,
  b: () => Promise<number>,
): Promise<number[]> {
  const samples: number[] = []
  for (let pair = 0; pair < pairs; pair += 1) {
    let [without, with_] = [NaN, NaN]
    if (pair % 2 === 0) {
      without = await a()
      with_ = await b()
    } else {
      with_ = await b()
      without = await a()
    }
    samples.push((1 - with_ / without) * 100)
  }
  return samples
}
