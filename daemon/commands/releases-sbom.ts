import packageJson from '../../package.json' with { type: 'json' }
import type { Command } from './command.ts'
import { findWithFiles } from './releases.ts'

/** Most days nobody asks for it: the daemon is smaller without it. */
const collecting = () => import('../../builder/sbom/collect.ts')
const writing = () => import('../../builder/sbom/write.ts')

export const sbomCommands: Command[] = [
  {
    name: 'releases:sbom',
    usage: 'APP [vN]',
    summary: 'Print what a release has in it, packages of Debian and of languages, as CycloneDX',
    app: true,
    run: async (call, daemon) => {
      const release = findWithFiles(daemon, call.app(), call.args[0])
      const [{ collectComponents }, { writeBill }] = await Promise.all([collecting(), writing()])
      const { signal } = call.session
      const components = await collectComponents(daemon.config, release.image, signal)
      const subject = {
        app: release.app,
        release: `v${release.version}`,
        createdAt: release.createdAt,
        layers: release.image.layers.map(({ key }) => key),
        maker: packageJson.version,
      }
      const text = await writeBill(subject, components, signal)
      return { lines: text.split('\n'), json: JSON.parse(text) }
    },
  },
]
