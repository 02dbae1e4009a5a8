/** undici declares its types for the whole of it alone; these parts of it have the same shapes. */
declare module 'undici/lib/dispatcher/client.js' {
  export { Client as default } from 'undici'
}

declare module 'undici/lib/api/api-request.js' {
  import type { Client, Dispatcher } from 'undici'

  export default function request(
    this: Client,
    options: Dispatcher.RequestOptions,
  ): Promise<Dispatcher.ResponseData>
}
