import type { Source } from '../source/source.ts'
import { angularSite } from './node-angular.ts'
import type { PackageJson } from './package-json.ts'
import type { Site } from './served-files.ts'

/** What a framework's build makes, and what starts that. */
export type Framework = {
  name: string
  /** A package that says that the app is made with it. */
  by: string[]
  /** Start scripts that are for development: what the build made is served instead. */
  dev?: RegExp
  /** Whoever answers requests, by what the build made. */
  start?: (app: Seen) => string | undefined
  /** Files that need no server of their own. */
  site?: (app: Seen) => Site | undefined
  env?: Record<string, string>
  /** What to do about an app of it that has neither. */
  needs?: string
}

/** What decides: the app's files, its packages and its build script. */
export type Seen = { source: Source; packageJson: PackageJson; build: string }

const everywhere = { HOST: '0.0.0.0' }

/** The first whose package is there. Those that are made of another one come before it. */
export const frameworks: Framework[] = [
  {
    name: 'Next.js',
    by: ['next'],
    dev: /^next(\s+dev\b.*)?$/,
    start: () => 'next start',
    site: (app) =>
      says(app, 'next.config', /\boutput:\s*['"]export['"]/) || /\bnext export\b/.test(app.build)
        ? { root: folderIn(app, 'next.config', 'distDir') ?? 'out', spa: false }
        : undefined,
    env: { HOSTNAME: '0.0.0.0' },
  },
  {
    name: 'Nuxt',
    by: ['nuxt', 'nuxt3'],
    dev: /^(nuxt|nuxi)(\s+(dev|preview)\b.*)?$/,
    start: () => 'node .output/server/index.mjs',
    site: ({ build }) =>
      /\b(nuxt|nuxi)\s+generate\b/.test(build) ? { root: '.output/public', spa: false } : undefined,
    env: everywhere,
  },
  {
    name: 'React Router',
    by: ['@react-router/serve', '@react-router/dev'],
    dev: /^react-router\s+dev\b/,
    start: (app) =>
      has(app, '@react-router/serve') ? 'react-router-serve ./build/server/index.js' : undefined,
    site: (app) =>
      says(app, 'react-router.config', /\bssr:\s*false/)
        ? { root: 'build/client', spa: true }
        : undefined,
    needs: 'Add @react-router/serve to its dependencies, or a "start" script',
  },
  {
    name: 'Remix',
    by: ['@remix-run/serve', '@remix-run/dev'],
    dev: /^remix\s+(dev|vite:dev)\b/,
    start: (app) => {
      if (!has(app, '@remix-run/serve')) return undefined
      const byVite = has(app, 'vite') || /vite:build/.test(app.build)
      return `remix-serve ${byVite ? './build/server/index.js' : './build/index.js'}`
    },
    needs: 'Add @remix-run/serve to its dependencies, or a "start" script',
  },
  {
    name: 'SvelteKit',
    by: ['@sveltejs/kit'],
    dev: /^vite(\s+(dev|serve|preview)\b.*)?$/,
    start: (app) => (has(app, '@sveltejs/adapter-node') ? 'node build' : undefined),
    site: (app) =>
      has(app, '@sveltejs/adapter-static')
        ? { root: 'build', spa: says(app, 'svelte.config', /\bfallback:\s*['"]index\.html['"]/) }
        : undefined,
    env: everywhere,
    needs: 'Use @sveltejs/adapter-node (a server) or @sveltejs/adapter-static (files alone)',
  },
  {
    name: 'Astro',
    by: ['astro'],
    dev: /^astro(\s+(dev|preview)\b.*)?$/,
    start: (app) => (has(app, '@astrojs/node') ? 'node ./dist/server/entry.mjs' : undefined),
    site: (app) =>
      has(app, '@astrojs/node')
        ? undefined
        : { root: folderIn(app, 'astro.config', 'outDir') ?? 'dist', spa: false },
    env: everywhere,
  },
  {
    name: 'Gatsby',
    by: ['gatsby'],
    dev: /^gatsby\s+(develop|serve)\b/,
    site: () => ({ root: 'public', spa: false }),
  },
  {
    name: 'Angular',
    by: ['@angular/core'],
    dev: /^ng\s+(serve|s|dev)\b/,
    start: (app) => angularSite(app.source)?.server,
    site: (app) => {
      const built = angularSite(app.source)
      return built && !built.server ? { root: built.root, spa: true } : undefined
    },
    env: everywhere,
    needs: 'Its projects could not be read from angular.json',
  },
  {
    name: 'a Nitro server',
    by: [
      '@solidjs/start',
      '@tanstack/react-start',
      '@tanstack/solid-start',
      'vinxi',
      'nitropack',
      'nitro',
    ],
    dev: /^(vinxi\s+(dev|start)|vite(\s+(dev|serve|preview))?|nitro(pack)?\s+(dev|preview))\b/,
    start: () => 'node .output/server/index.mjs',
    env: everywhere,
  },
  {
    name: 'Nest',
    by: ['@nestjs/core'],
    dev: /^nest\s+start\b/,
    start: ({ packageJson }) => packageJson.scripts['start:prod'] ?? 'node dist/main',
  },
  {
    name: 'Create React App',
    by: ['react-scripts'],
    dev: /^(react-scripts|craco|react-app-rewired)\s+start\b/,
    site: () => ({ root: 'build', spa: true }),
  },
  {
    name: 'Vue CLI',
    by: ['@vue/cli-service'],
    dev: /^vue-cli-service\s+serve\b/,
    site: (app) => ({ root: folderIn(app, 'vue.config', 'outputDir') ?? 'dist', spa: true }),
  },
  {
    name: 'Docusaurus',
    by: ['@docusaurus/core'],
    dev: /^docusaurus\s+(start|serve)\b/,
    site: () => ({ root: 'build', spa: false }),
  },
  {
    name: 'VitePress',
    by: ['vitepress'],
    dev: /^vitepress\s+(dev|preview|serve)\b/,
    site: ({ build }) => {
      const folder = /\bvitepress\s+build\s+([\w./-]+)/.exec(build)?.[1] ?? '.'
      return { root: `${folder}/.vitepress/dist`.replace(/^\.\//, ''), spa: false }
    },
  },
  {
    name: 'Eleventy',
    by: ['@11ty/eleventy'],
    dev: /^(npx\s+)?(@11ty\/)?eleventy\s+--serve\b/,
    site: ({ build }) => ({
      root: /--output[= ]([\w./-]+)/.exec(build)?.[1] ?? '_site',
      spa: false,
    }),
  },
  {
    name: 'Vite',
    by: ['vite'],
    dev: /^vite(\s+(dev|serve|preview)\b.*|\s+-.*)?$/,
    site: (app) =>
      /\bvite\s+build\b/.test(app.build)
        ? {
            root:
              /--outDir[= ]([\w./-]+)/.exec(app.build)?.[1] ??
              folderIn(app, 'vite.config', 'outDir') ??
              'dist',
            spa: true,
          }
        : undefined,
  },
  {
    name: 'Parcel',
    by: ['parcel', 'parcel-bundler'],
    dev: /^parcel(\s+(serve|watch)\b.*|\s+[^b].*)?$/,
    site: ({ build }) =>
      /\bparcel\s+build\b/.test(build)
        ? { root: /--dist-dir[= ]([\w./-]+)/.exec(build)?.[1] ?? 'dist', spa: true }
        : undefined,
  },
]

function has({ packageJson }: Seen, name: string): boolean {
  return name in packageJson.dependencies || name in packageJson.devDependencies
}

/** A framework's settings are programs; what they say is looked for in their text. */
function configText({ source }: Seen, name: string): string {
  const file = ['js', 'mjs', 'ts', 'mts', 'cjs', 'cts']
    .map((suffix) => `${name}.${suffix}`)
    .find((one) => source.isFile(one))
  const text = file ? (source.readText(file, 1024 * 1024) ?? '') : ''
  return text.replace(/^\s*\/\/.*$/gm, '')
}

function says(app: Seen, config: string, what: RegExp): boolean {
  return what.test(configText(app, config))
}

function folderIn(app: Seen, config: string, key: string): string | undefined {
  const value = new RegExp(`\\b${key}:\\s*['"]([\\w./@-]+)['"]`).exec(configText(app, config))?.[1]
  const folder = value?.replace(/^\.\//, '').replace(/\/$/, '')
  return folder && !folder.startsWith('/') && !folder.includes('..') ? folder : undefined
}
