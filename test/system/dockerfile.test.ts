import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { isInstalled, startRegistry } from './docker-registry.ts'
import { type Paas, startPaas } from './instance.ts'

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
my $text = "ids $ids cwd @{[getcwd]} args @ARGV colour $ENV{COLOUR} port $port $greeting $ignored VERSION";
while (my $client = $listener->accept) {
  while (<$client>) { last if /^\\r\\n/ }
  print $client "HTTP/1.0 200 OK\\r\\nContent-Length: @{[length $text]}\\r\\n\\r\\n$text";
  close $client;
}
`

const files = {
  Dockerfile: `# syntax=docker/dockerfile:1
ARG BASE=stack
FROM paas/\${BASE} AS make
ARG GREETING=hello
RUN --mount=type=secret,id=TOKEN \\
    # a comment in between
    test "$(cat /run/secrets/TOKEN)" = a-top-secret && echo "$GREETING there" > /greeting
FROM paas/stack AS web
RUN echo only-once; useradd --uid 1234 someone
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
  'server.pl': server.replace('VERSION', 'v1'),
}

let dir: string

describe('A Dockerfile', () => {
  test('is built and runs as it says, by its user, on its first port, in its directory', async () => {
    await paas.ssh(['apps:create', 'shop'])
    await paas.ssh(['config:set', 'shop', 'TOKEN=a-top-secret'])
    dir = await paas.tree('shop', files)
    const pushed = await paas.push('shop', dir)
    expect(pushed.out).toContain('-----> Dockerfile found, which buildah builds (Dockerfile)')
    expect(pushed.out).toContain('To build it as Node instead: builder:set <app> detect')
    expect(pushed.out).toContain('only-once')
    expect(pushed.code).toBe(0)
    expect((await paas.get('shop')).body).toBe(
      'ids 1234:1234 cwd /srv/site args one two words colour blue port 8081 bonjour there unseen v1',
    )
  }, 600_000)
})
