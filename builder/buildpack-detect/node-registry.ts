import type { Source } from '../source/source.ts'

/** Files that say where packages come from, and with which token. */
const files = ['.npmrc', '.yarnrc.yml', '.yarnrc', 'bunfig.toml']

/** Config that those files name: `${NPM_TOKEN}`, `${NPM_TOKEN-none}`, and Bun's `$NPM_TOKEN`. */
export function registryKeys(root: Source): string[] {
  const keys = files.flatMap((file) => {
    const text = root.readText(file, 65536) ?? ''
    const named = file === 'bunfig.toml' ? /\$\{?([A-Za-z_]\w*)/g : /\$\{([A-Za-z_]\w*)[^}]*\}/g
    return [...text.matchAll(named)].map(([, key = '']) => key)
  })
  return [...new Set(keys)]
}

/** The environment that sets a registry for every manager; a variable wins over a file. */
export function registryEnv(url: string): Record<string, string> {
  return {
    npm_config_registry: url,
    NPM_CONFIG_REGISTRY: url,
    pnpm_config_registry: url,
    YARN_NPM_REGISTRY_SERVER: url,
  }
}

/** A registry that the tree names itself comes before the one that the host is set to use. */
export function ownRegistryEnv(
  root: Source,
  { berry }: { berry: boolean },
): Record<string, string> {
  const [file, line] = berry
    ? ['.yarnrc.yml', /^npmRegistryServer:\s*["']?([^\s"']+)/m]
    : ['.npmrc', /^registry\s*=\s*["']?([^\s"']+)/m]
  const url = line.exec(root.readText(file, 65536) ?? '')?.[1]
  return url === undefined ? {} : registryEnv(url)
}
