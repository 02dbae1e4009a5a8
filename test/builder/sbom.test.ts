import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseStatus } from '../../builder/stack/debian.ts'
import { readJar } from '../../builder/sbom/jar.ts'
import { traces } from '../../builder/sbom/installed.ts'
import { writeBill } from '../../builder/sbom/write.ts'
import { exec } from '../../core/exec.ts'

const purls = (path: string, text: string) =>
  traces
    .find((one) => one.path.test(path))
    ?.read(text, path)
    .map(({ purl }) => purl)

const seen: [path: string, text: string, purls: string[] | undefined][] = [
  ['app/node_modules/ms/package.json', '{"name":"ms","version":"2.1.3"}', ['pkg:npm/ms@2.1.3']],
  [
    'app/node_modules/.pnpm/@a+b@1.0.0/node_modules/@a/b/package.json',
    '{"name":"@a/b","version":"1.0.0"}',
    ['pkg:npm/%40a/b@1.0.0'],
  ],
  ['app/node_modules/ms/dist/package.json', '{"type":"module"}', undefined],
  ['app/package.json', '{"name":"own","version":"1.0.0"}', undefined],
  ['app/node_modules/bad/package.json', '{', []],
  [
    'app/.pnp.cjs',
    `'{\\\n      ["@a/b", [\\\n        ["npm:2.0.0", {\\\n        ["virtual:ab12#npm:2.1.0", {\\\n      ["own", [\\\n        ["workspace:.", {\\\n`,
    ['pkg:npm/%40a/b@2.0.0', 'pkg:npm/%40a/b@2.1.0'],
  ],
  [
    'app/deno.lock',
    '{"version":"5","jsr":{"@std/http@1.0.9":{}},"npm":{"ms@2.1.3":{},"a@1.0.0_b@2.0.0":{}}}',
    ['pkg:npm/ms@2.1.3', 'pkg:npm/a@1.0.0', 'pkg:jsr/%40std/http@1.0.9'],
  ],
  [
    'app/.venv/lib/python3.13/site-packages/Flask_Login-0.6.3.dist-info/METADATA',
    'Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6.3\n\nVersion: of the text\n',
    ['pkg:pypi/flask-login@0.6.3'],
  ],
  ['app/vendor/bundle/ruby/3.3.0/specifications/rack-3.1.8.gemspec', '', ['pkg:gem/rack@3.1.8']],
  [
    'app/vendor/bundle/specifications/nokogiri-1.18.2-x86_64-linux-gnu.gemspec',
    '',
    ['pkg:gem/nokogiri@1.18.2'],
  ],
  [
    'app/vendor/composer/installed.json',
    '{"packages":[{"name":"monolog/monolog","version":"v3.8.1"}]}',
    ['pkg:composer/monolog/monolog@3.8.1'],
  ],
  [
    'app/bin/App.deps.json',
    '{"libraries":{"App/1.0.0":{"type":"project"},"Dapper/2.1.35":{"type":"package"}}}',
    ['pkg:nuget/Dapper@2.1.35'],
  ],
  [
    'app/Cargo.lock',
    '[[package]]\nname = "own"\nversion = "0.1.0"\n\n[[package]]\nname = "libc"\nversion = "0.2.1"\nsource = "registry+x"\n',
    ['pkg:cargo/libc@0.2.1'],
  ],
  [
    'app/go.mod',
    'module example.com/own\n\ngo 1.24\n\nrequire (\n\tgithub.com/a/b v1.2.3\n\tgolang.org/x/net v0.30.0 // indirect\n)\nrequire github.com/c/d v0.1.0\n',
    [
      'pkg:golang/github.com/a/b@v1.2.3',
      'pkg:golang/golang.org/x/net@v0.30.0',
      'pkg:golang/github.com/c/d@v0.1.0',
    ],
  ],
  [
    'app/mix.lock',
    '%{"jason": {:hex, :jason, "1.4.4", "abc", [:mix], []}}',
    ['pkg:hex/jason@1.4.4'],
  ],
  [
    'app/gradle.lockfile',
    '# comment\ncom.google.guava:guava:33.0.0-jre=runtimeClasspath\nempty=\n',
    ['pkg:maven/com.google.guava/guava@33.0.0-jre'],
  ],
]
test.each(seen)('%s is read for what was installed', (path, text, expected) => {
  expect(purls(path, text)).toEqual(expected)
})

test('A jar says what it is and what is in it', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'paas-jar-'))
  try {
    const script = `import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as z:
    z.writestr('META-INF/maven/com.example/shop/pom.properties', 'artifactId=shop\\nversion=1.2.3\\n')
    z.writestr('BOOT-INF/lib/spring-core-6.2.1.jar', 'x')
    z.writestr('com/example/Main.class', 'x' * 1000)`
    await exec('python3', ['-c', script, join(dir, 'shop.jar')])
    expect(await readJar(join(dir, 'shop.jar'))).toEqual([
      expect.objectContaining({ purl: 'pkg:maven/com.example/shop@1.2.3' }),
      { type: 'library', name: 'spring-core', version: '6.2.1' },
    ])
    writeFileSync(join(dir, 'broken.jar'), 'no zip')
    expect(await readJar(join(dir, 'broken.jar'))).toEqual([])
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('The list of dpkg is read without what was removed', () => {
  const text = `Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.41-1)
Version: 2.41-12
Description: text
 Version: 0 of the text

Package: gone
Status: deinstall ok config-files
Version: 1

`
  expect(parseStatus(text)).toEqual([
    { name: 'libc6', version: '2.41-12', architecture: 'amd64', source: 'glibc' },
  ])
})

test('A bill of the same release is the same document, with a number of its own', async () => {
  const { signal } = new AbortController()
  const about = { app: 'shop', release: 'v7', createdAt: '2026-01-01', layers: ['a'], maker: '1' }
  const ms = { type: 'library' as const, name: 'ms', version: '2.1.3', purl: 'pkg:npm/ms@2.1.3' }
  const one = await writeBill(about, [ms], signal)
  expect(one).toBe(await writeBill(about, [ms], signal))
  expect(JSON.parse(one)).toMatchObject({
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: expect.stringMatching(/^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
    metadata: { timestamp: '2026-01-01T00:00:00.000Z', component: { name: 'shop' } },
    components: [{ ...ms, 'bom-ref': ms.purl }],
  })
  const other = await writeBill({ ...about, layers: ['b'] }, [ms], signal)
  expect(JSON.parse(other).serialNumber).not.toBe(JSON.parse(one).serialNumber)
})
