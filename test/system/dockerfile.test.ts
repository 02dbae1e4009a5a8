import { createHash } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { isInstalled, startRegistry } from './docker-registry.ts'
import { type Paas, startPaas, until } from './instance.ts'

let paas: Paas
beforeAll(async () => {
  paas = await startPaas({ PAAS_BUILD_MEMORY: '500' })
}, 240_000)
afterAll(() => paas[Symbol.asyncDispose]())

/** A server for the stack, which has perl; it tells how it was started. */
const server = `use IO::Socket::INET; use Cwd;
my $port = $ENV{PORT};
my $listener = IO::Socket::INET->new(LocalPort => $port, Listen => 64, ReuseAddr => 1) or die $!;
$SIG{TERM} = sub { exit 0 };
my $ids = join ':', $<, (split ' ', $()[0];
my $greeting = do { local $/; open my $f, '<', '/greeting'; <$f> } // '';
chomp $greeting;
my $ignored = -e 'ignored.txt' ? 'seen' : 'unseen';
my $start = "ids $ids cwd @{[getcwd]} args @ARGV colour $ENV{COLOUR} port $port";
my $text = "$start $greeting $ignored VERSION";
while (my $client = $listener->accept) {
  while (<$client>) { last if /^\\r\\n/ }
  print $client "HTTP/1.0 200 OK\\r\\nContent-Length: @{[length $text]}\\r\\n\\r\\n$text";
  close $client;
}
`

const proof = createHash('sha256').update('a-top-secret').digest('hex').slice(0, 16)

const files = {
  Dockerfile: `# syntax=docker/dockerfile:1
ARG BASE=stack
FROM paas/\${BASE} AS make
ARG GREETING=hello
RUN --mount=type=secret,id=TOKEN \\
    # a comment in between
    test "$(sha256sum < /run/secrets/TOKEN | cut -c1-16)" = ${proof} \\
    && echo "$GREETING there" > /greeting
FROM paas/stack AS web
RUN echo only-once; useradd --uid 1234 someone
RUN ! grep -aqs SECRET_TOKEN /proc/[0-9]*/environ && ! mount -t tmpfs none /mnt \\
 && ! unshare --user true && ! unshare --mount true && grep 'NoNewPrivs.*1' /proc/self/status
COPY --from=make /greeting /
WORKDIR /srv/site
ENV COLOUR=blue
COPY . .
USER someone
EXPOSE 8081 7000
ENTRYPOINT ["perl", "server.pl"]
CMD ["one", "two words"]
FROM web AS other
EXPOSE 7001
CMD ["other"]
`,
  'paas.toml': `[docker]
target = "web"
secrets = ["TOKEN"]
[docker.args]
GREETING = "bonjour"
`,
  '.dockerignore': 'ignored.txt\n',
  'ignored.txt': 'x',
  'package.json': '{"private": true}',
  'app.json': '{ "healthchecks": { "web": [{ "type": "readiness", "path": "/up" }] } }',
  'server.pl': server.replace('VERSION', 'v1'),
}

const minutes = 60_000
const dockerfile = (...lines: string[]) => ['FROM paas/stack', ...lines, ''].join('\n')
const pushShop = (changes: Record<string, string> = {}) =>
  paas.tree('shop', changes).then((dir) => paas.push('shop', dir))

describe('A Dockerfile', () => {
  test(
    'is built, and runs as it says: its user, port, directory and words',
    async () => {
      await paas.ssh(['apps:create', 'shop'])
      await paas.ssh(['config:set', 'shop', 'TOKEN=a-top-secret'])
      const pushed = await pushShop(files)
      expect(pushed.out).toContain('-----> Dockerfile found, which buildah builds (Dockerfile)')
      expect(pushed.out).toContain('To build it as Node instead: builder:set <app> detect')
      expect(pushed.out).toMatch(/^remote:\s+only-once\s*$/m)
      expect(pushed.code, pushed.out).toBe(0)
      expect((await paas.ssh(['builds:plan', 'shop'])).stdout).toContain('"target": "web"')
      expect((await paas.get('shop')).body).toBe(
        'ids 1234:1234 cwd /srv/site args one two words colour blue port 8081 bonjour there unseen v1',
      )
    },
    15 * minutes,
  )

  test(
    'is built from the changed line on; all before it is there already',
    async () => {
      const pushed = await pushShop({ 'server.pl': server.replace('VERSION', 'v2') })
      expect(pushed.code, pushed.out).toBe(0)
      expect(pushed.out).not.toMatch(/^remote:\s+only-once\s*$/m)
      expect(pushed.out).not.toContain('Taking paas/stack')
      expect(pushed.out).toContain('Layers: 1 new, ')
      expect((await paas.get('shop')).body).toMatch(/ v2$/)
    },
    15 * minutes,
  )

  test(
    'leaves its secrets in no layer',
    async () => {
      const { layers, dockerCache } = paths(paas.config)
      const grep = ['-r', '-l', '--binary-files=text', '-e', 'a-top-secret', '--', layers]
      const found = await exec('grep', [...grep, dockerCache('shop')], { accept: [0, 1] })
      expect(found.stdout).toBe('')
    },
    15 * minutes,
  )

  test(
    'that fails refuses the push in words of its own, and what ran before runs on',
    async () => {
      const failed = await pushShop({
        'paas.toml': '',
        Dockerfile: dockerfile('RUN echo broken-here; exit 7'),
      })
      expect(failed.out).toMatch(/^remote:\s+broken-here\s*$/m)
      expect(failed.out).toContain(
        '"RUN echo broken-here; exit 7" exited with 7; its output is above',
      )
      const bad = await pushShop({ Dockerfile: dockerfile('FORM x') })
      expect(bad.out).toContain('Dockerfile line 2: "FORM" is no instruction')
      const gone = await pushShop({ Dockerfile: dockerfile('COPY nothing-here /x') })
      expect(gone.out).toContain('Dockerfile could not be built: ')
      expect(gone.out).toContain('It failed at: COPY nothing-here /x')
      const base = await pushShop({ Dockerfile: 'FROM registry.invalid/team/base:1\n' })
      expect(base.out).toContain('Could not get the base image registry.invalid/team/base:1')
      const silent = await pushShop({ Dockerfile: 'FROM paas/stack\nCMD []\n' })
      expect(silent.out).toContain('The image does not say what it runs')
      const hungry = `RUN perl -e '$x = "a" x 900000000; print length $x'`
      const large = await pushShop({ Dockerfile: dockerfile(hungry) })
      expect(large.out).toContain('of 500 MB and was killed in "RUN perl')
      expect([failed, bad, gone, base, silent, large].map(({ code }) => code)).toEqual(
        Array.from({ length: 6 }, () => 1),
      )
      expect((await paas.get('shop')).body).toMatch(/ v2$/)
    },
    30 * minutes,
  )

  test(
    'that is cancelled in the middle of a step leaves what the next build can go on with',
    async () => {
      const pushing = pushShop({
        Dockerfile: dockerfile('RUN echo sleeping; exec sleep 600'),
        'paas.toml': '[docker]\nconfig_args = ["TOKEN"]\nsecrets = ["TOKEN"]\n',
      })
      const lines = async () => (await paas.ssh(['builds:output', 'shop'])).out
      await until('the step runs', async () => /^\s*sleeping$/m.test(await lines()), 3 * minutes)
      const { stdout: titles } = await exec('ps', ['-eww', '-o', 'args'])
      expect(titles).toContain('buildah build --isolation')
      expect(titles).not.toContain('a-top-secret') // argument and secret
      await paas.ssh(['builds:cancel', 'shop'])
      expect((await pushing).code).toBe(1)
      expect((await paas.get('shop')).body).toMatch(/ v2$/)
    },
    15 * minutes,
  )

  test(
    'has another target, arguments of the config, and processes of a Procfile',
    async () => {
      await paas.ssh(['config:set', 'shop', 'GREETING', '--stdin'], 'ahoy\nyou')
      const toml = '[docker]\ntarget = "other"\nsecrets = ["TOKEN"]\nconfig_args = ["GREETING"]\n'
      const { Dockerfile } = files
      const other = await pushShop({ Dockerfile, 'paas.toml': toml })
      expect(other.code, other.out).toBe(0)
      expect((await paas.get('shop')).body).toContain(
        'args other colour blue port 7001 ahoy\nyou there',
      )
      const shell = dockerfile(
        'RUN mkdir /d && touch /d/old',
        'RUN rm -r /d && mkdir /d && touch /d/new',
        'WORKDIR /srv',
        'COPY server.pl .',
        'EXPOSE 7002',
        'USER 99',
      )
      const procfile = `web: test ! -e /d/old && test -e /d/new && COLOUR=red perl server.pl from the Procfile
worker: sleep 1000
`
      const last = await pushShop({ Dockerfile: shell, 'paas.toml': '', Procfile: procfile })
      expect(last.code, last.out).toBe(0)
      expect((await paas.get('shop')).body).toContain(
        'ids 99:0 cwd /srv args from the Procfile colour red port 7002',
      )
      expect(last.out).toContain('worker: sleep 1000')
    },
    30 * minutes,
  )
})

const umoci = (...args: string[]) => exec('umoci', args)
const hasTools = isInstalled && ['skopeo', 'umoci'].every((name) => existsSync(`/usr/bin/${name}`))

test.skipIf(!hasTools)(
  'Images of a registry are bases, by tag and by digest, once root has allowed it',
  async () => {
    await using registry = await startRegistry(join(paas.base, 'registry'))
    const { host } = registry
    const layout = join(paas.base, 'data')
    await umoci('init', '--layout', layout)
    await umoci('new', '--image', `${layout}:v1`)
    writeFileSync(join(paas.base, 'hello'), 'from the registry\n')
    await umoci('insert', '--image', `${layout}:v1`, join(paas.base, 'hello'), '/hello')
    const copy = ['copy', '--quiet', '--dest-tls-verify=false', `oci:${layout}:v1`]
    await exec('skopeo', [...copy, `docker://${host}/team/data:v1`])
    const inspect = ['inspect', '--tls-verify=false', '--format', '{{.Digest}}']
    const { stdout } = await exec('skopeo', [...inspect, `docker://${host}/team/data:v1`])

    const Dockerfile = [
      `ARG DIGEST=${stdout.trim()}`,
      `ARG DATA=${host}/team/data@\${DIGEST}`,
      'FROM ${DATA} AS data',
      'FROM paas/stack',
      'COPY --from=data /hello /named',
      `COPY --from=${host}/team/data:v1 /hello /tagged`,
      `COPY --from=${host}/team/data@${stdout.trim()} /hello /greeting`,
      'COPY server.pl /',
      'EXPOSE 7003',
      'CMD ["perl", "/server.pl"]',
      '',
    ].join('\n')
    const procfile = 'web: cmp /tagged /greeting && cmp /named /greeting && exec perl /server.pl\n'
    const changes = { Dockerfile, Procfile: procfile }
    const refused = await pushShop(changes)
    expect(refused.out).toContain(`${host} is this server itself`)
    expect(refused.code).toBe(1)
    await paas.paas(['registry:allow', host])
    const pushed = await pushShop()
    expect(pushed.code, pushed.out).toBe(0)
    expect((await paas.get('shop')).body).toContain('port 7003 from the registry')
  },
  30 * minutes,
)
