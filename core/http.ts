/**
 * node:http. An `import` of it reads every name that it exports, its WebSocket too, for which Node
 * loads an HTTP client of its own: 13 MB of the daemon that nobody uses.
 */
export const http: typeof import('node:http') = process.getBuiltinModule('node:http')
