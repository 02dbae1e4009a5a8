import { hostKeys } from '../../receiver/host-keys.ts'
import { receivePack } from '../../receiver/receive-pack.ts'
import { listenSsh } from '../../receiver/server.ts'

/** A process of its own that takes a push into argv[3] and never decides it; the test kills it. */
const [, , keys = '', repo = ''] = process.argv

const server = await listenSsh(
  { port: 0, host: '127.0.0.1', hostKeys: await hostKeys(keys) },
  {
    authorize: () => ({ name: 'tester' }),
    command: async () => 1,
    receivePack: (session) =>
      receivePack({
        ...session,
        repo,
        onPush: (_push, say) => {
          say('-----> Deciding')
          setTimeout(() => process.stdout.write('asked\n'), 200)
          return new Promise(() => {})
        },
      }),
  },
)
process.stdout.write(`port ${server.port}\n`)
