import type { Source } from '../source.ts'

/**
 * Languages that come before or beside ours in the order of detection and cannot be built yet. They
 * are recognised all the same: a Python app with a package.json must not quietly become a Node app.
 */
export type Unavailable = { language: string; files: string[] }

export const unavailable: Unavailable[] = [
  { language: 'PHP', files: ['composer.json', 'index.php'] },
  { language: 'Go', files: ['go.mod'] },
  { language: 'Java', files: ['pom.xml', 'build.gradle', 'build.gradle.kts'] },
  { language: 'Rust', files: ['Cargo.toml'] },
  { language: 'Ruby', files: ['Gemfile'] },
  { language: 'Elixir', files: ['mix.exs'] },
  {
    language: 'Python',
    files: ['requirements.txt', 'pyproject.toml', 'Pipfile', 'setup.py', 'uv.lock'],
  },
  { language: 'Deno', files: ['deno.json', 'deno.jsonc'] },
  { language: '.NET', files: ['global.json'] },
  { language: 'Bun', files: ['bun.lock', 'bun.lockb'] },
]

/** The first of them whose file lies at the root of a tree. */
export function findUnavailable(source: Source): { language: string; because: string } | undefined {
  for (const { language, files } of unavailable) {
    const because = files.find((file) => source.isFile(file))
    if (because) return { language, because }
  }
  return undefined
}
