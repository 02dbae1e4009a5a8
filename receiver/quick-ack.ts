import type { Socket } from 'node:net'
import koffi from 'koffi'

const setOption = koffi
  .load('libc.so.6')
  .func('int setsockopt(int fd, int level, int name, const void *value, uint size)')
const tcp = 6
const quickAck = 12
const yes = Buffer.from(Uint32Array.of(1).buffer)

/**
 * Has the kernel acknowledge at once what comes, until the returned function is called. Clients
 * send a small packet only when the one before is acknowledged (Nagle), and in a handshake there is
 * not always an answer to carry that: nearly half of all logins would wait 40 ms for it.
 */
export function acknowledgeAtOnce(socket: Socket): () => void {
  const acknowledge = () => {
    const handle: unknown = Reflect.get(socket, '_handle')
    const fd: unknown = handle instanceof Object && Reflect.get(handle, 'fd')
    if (typeof fd === 'number' && fd >= 0) setOption(fd, tcp, quickAck, yes, yes.length)
  }
  socket.on('data', acknowledge) // each time: the kernel goes back to waiting by itself
  return () => void socket.off('data', acknowledge)
}
