/**
 * Node's HTTP. `import` would look at everything that it offers, and so load a second client with
 * the WebSocket that nobody here uses: 13 MB of memory, and 70 ms of each start of the daemon.
 */
export const http = process.getBuiltinModule('node:http')
export const https = process.getBuiltinModule('node:https')
