import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { byShell } from '../../builder/docker/build.ts'
import { firstPort, imagesOf, parseDockerfile, shellsOf } from '../../builder/docker/dockerfile.ts'
import { planDockerfile } from '../../builder/docker/plan.ts'
import { openSource } from '../../builder/source/source.ts'
import { Failure, failureLines } from '../../core/errors.ts'

const made: string[] = []
afterAll(() => made.forEach((dir) => rmSync(dir, { recursive: true, force: true })))

function tree(files: Record<string, string>) {
  const dir = mkdtempSync(join(tmpdir(), 'paas-docker-'))
  made.push(dir)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), text)
  }
  return openSource(dir)
}

const none = { target: undefined, args: {} }
const names = (text: string, options: Parameters<typeof imagesOf>[1] = none) =>
  imagesOf(parseDockerfile('Dockerfile', text), options).map(({ name }) => name)

function failure(work: () => unknown): string[] {
  try {
    work()
  } catch (error) {
    if (error instanceof Failure) return failureLines(error)
    throw error
  }
  throw new Error('nothing was refused')
}

test('The images of a build are those of the stages that the target needs', () => {
  const text = `
FROM --platform=$BUILDPLATFORM golang:1 AS build
RUN --mount=type=bind,from=tools:2,target=/t --mount=type=cache,target=/c make
FROM debian:13 AS unused
FROM scratch AS Final
COPY --from=build --chown=1 /a /a
COPY --from=0 /b /b
COPY --from=nginx:1 /c /c
FROM final
`
  expect(names(text).toSorted()).toEqual(['golang:1', 'nginx:1', 'tools:2'])
  expect(names(text, { target: 'unused', args: {} })).toEqual(['debian:13'])
  expect(failure(() => names(text, { target: 'no', args: {} }))).toEqual([
    ' !     Dockerfile has no stage "no"',
    ' !     It has: build, unused, final',
  ])
})

test('Arguments before the first FROM are put into the names of images', () => {
  const text = 'ARG TAG=24 OS="-slim"\nARG EMPTY\nFROM node:${TAG}$OS AS a\nARG TAG\nRUN true\n'
  expect(names(text)).toEqual(['node:24-slim'])
  expect(names(text, { target: undefined, args: { TAG: '22' } })).toEqual(['node:22-slim'])
  expect(names('FROM node:${V:-20}-${TARGETARCH}')[0]).toMatch(/^node:20-(amd64|arm64)$/)
  expect(failure(() => names('ARG A\n\nFROM node:${A}\n'))).toEqual([
    ' !     Dockerfile line 3: A has no value',
    ' !     Give it one: ARG A=… before the first FROM, or [docker.args] in paas.toml',
  ])
})

test('Defaults of arguments may have the arguments before them in them', () => {
  const text = `ARG ELIXIR_VERSION=1.17.3
ARG OTP_VERSION=27.1.2
ARG DEBIAN_VERSION=bookworm-20260518-slim
ARG BUILDER_IMAGE="hexpm/elixir:\${ELIXIR_VERSION}-erlang-\${OTP_VERSION}-debian-\${DEBIAN_VERSION}"
ARG RUNNER_IMAGE="debian:$DEBIAN_VERSION"
FROM \${BUILDER_IMAGE} AS builder
FROM \${RUNNER_IMAGE}
COPY --from=builder /a /a
`
  const args = { ELIXIR_VERSION: '1.18.0' }
  expect(names(text, { target: undefined, args }).toSorted()).toEqual([
    'debian:bookworm-20260518-slim',
    'hexpm/elixir:1.18.0-erlang-27.1.2-debian-bookworm-20260518-slim',
  ])
  expect(names('ARG OS\nARG TAG=24$OS\nARG TAG=$TAG-slim\nFROM node:$TAG')).toEqual([
    'node:24-slim',
  ])
  expect(names('ARG TARGETARCH\nARG V=1-$TARGETARCH\nFROM a:$V')[0]).toMatch(/^a:1-(amd|arm)64$/)
  expect(names('ARG A=${B:-x}\nARG B=2\nFROM a:$A')).toEqual(['a:x'])
})

test('Comments, lines that go on and heredocs are read as whoever builds reads them', () => {
  const text = `# escape=\`
FROM \`
  # in between

  a:1
RUN <<EOF
FROM not:this
EOF
COPY <<-"ONE" <<TWO /x/
FORM
ONE
NOTHING
TWO
EXPOSE 80/tcp \`
  443
`
  const file = parseDockerfile('Dockerfile', text)
  expect(imagesOf(file, none)).toEqual([{ written: 'a:1', name: 'a:1' }])
  expect(firstPort(file, undefined)).toBe(80)
})

const port = (text: string) => firstPort(parseDockerfile('Dockerfile', text), undefined)
const parse = (text: string) => failure(() => parseDockerfile('web/Dockerfile', text))[0]

test('The port is the first of the stage, where it is a number', () => {
  expect(port('FROM a\nEXPOSE 9000\nEXPOSE 80')).toBe(9000)
  expect(port('FROM a\nEXPOSE 9000\nFROM b')).toBeUndefined()
  expect(port('FROM a\nEXPOSE $PORT')).toBeUndefined()
  expect(port('FROM a\nEXPOSE 53/udp 80 81')).toBe(80) // a request is never a datagram
})

const shells = (text: string) => shellsOf(parseDockerfile('Dockerfile', text), undefined)

test('What starts the image runs by the shell that the file names', () => {
  const bash = 'FROM a\nSHELL ["/bin/bash", "-o", "pipefail", "-c"]\n'
  const words = ['/bin/bash', '-o', 'pipefail', '-c']
  expect(shells(`${bash}CMD exec server`)).toEqual({ cmd: words })
  expect(shells(`${bash}ENTRYPOINT exec a\nCMD ["b"]`)).toEqual({ entrypoint: words })
  expect(shells(`${bash}FROM b\nCMD exec server`)).toEqual({})
  expect(byShell(['/bin/sh', '-c', 'exec server'], words)).toEqual([...words, 'exec server'])
  expect(byShell(['server', '-c', 'x'], words)).toEqual(['server', '-c', 'x'])
  expect(byShell(['/bin/sh', '-c', 'exec server'], undefined)).toHaveLength(3)
})

test('A line that no build could read is named', () => {
  expect(parse('FROM a\nFORM b\n')).toBe(' !     web/Dockerfile line 2: "FORM" is no instruction')
  expect(parse('RUN x\nFROM a')).toBe(
    ' !     web/Dockerfile line 1: RUN comes before the first FROM',
  )
  expect(parse('FROM a\n\nCMD\n')).toBe(' !     web/Dockerfile line 3: CMD says nothing')
  expect(parse('FROM a b\n')).toBe(
    ' !     web/Dockerfile line 1: FROM takes the name of an image, and perhaps AS and a name',
  )
  expect(parse('# nothing\n')).toBe(
    ' !     web/Dockerfile has no FROM, which names the image to build upon',
  )
})

test('A Dockerfile at the root is chosen, and the choice can be made otherwise', () => {
  const source = tree({ Dockerfile: 'FROM a', 'package.json': '{}', Procfile: 'web: x' })
  expect(planDockerfile(source, undefined)).toMatchObject({
    because: 'Dockerfile',
    otherwise: 'To build it as Node instead: builder:set <app> detect, and push again',
    context: '.',
    processes: { web: 'x' },
    processesFrom: 'Procfile',
  })
  expect(planDockerfile(source, 'detect')).toBeUndefined()
  expect(planDockerfile(source, 'node')).toBeUndefined()
  expect(planDockerfile(tree({ 'package.json': '{}' }), undefined)).toBeUndefined()
  expect(failure(() => planDockerfile(tree({ 'package.json': '{}' }), 'dockerfile'))).toEqual([
    ' !     There is no Dockerfile to build',
  ])
})

test('paas.toml says which Dockerfile, context, target, arguments and secrets', () => {
  const toml = `apt = ["curl"]
app_dir = "web"
[docker]
file = "docker/prod.Dockerfile"
context = "."
target = "run"
config_args = ["PUBLIC_URL"]
secrets = ["NPM_TOKEN"]
[docker.args]
V = "3"
`
  const files = { 'paas.toml': toml, 'docker/prod.Dockerfile': 'ARG V\nFROM a:$V AS run' }
  expect(planDockerfile(tree({ ...files, 'web/x': '' }), undefined)).toMatchObject({
    file: 'docker/prod.Dockerfile',
    context: '.',
    target: 'run',
    args: { V: '3' },
    configArgs: ['PUBLIC_URL'],
    secrets: ['NPM_TOKEN'],
    images: [{ written: 'a:$V', name: 'a:3' }],
    warnings: ['apt in paas.toml says nothing to a Dockerfile'],
  })
  const inFolder = tree({ 'paas.toml': 'app_dir = "web"', 'web/Dockerfile': 'FROM a' })
  expect(planDockerfile(inFolder, undefined)).toMatchObject({
    file: 'web/Dockerfile',
    context: 'web',
  })
  const owners = planDockerfile(tree({ 'api/Dockerfile': 'FROM a' }), undefined, 'api')
  expect(owners).toMatchObject({ file: 'api/Dockerfile', context: 'api' })
  expect(planDockerfile(tree({ 'web/Dockerfile': 'FROM a' }), undefined, 'api')).toBeUndefined()
  const wrong = tree({ 'paas.toml': '[docker]\ncontext = "../.."', Dockerfile: 'FROM a' })
  expect(failure(() => planDockerfile(wrong, undefined))[0]).toBe(
    ' !     paas.toml line 2: "context" is not a path within the repository, such as "web"',
  )
})
