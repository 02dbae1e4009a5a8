import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import { type ToolRequest, systemPath, type VersionText } from './plan.ts'
import { firstLine, firstPin, toolVersion } from './version-files.ts'

/**
 * What a tree asks of Java. What the build file compiles for is a rule; the first of
 * system.properties, .java-version, .sdkmanrc and .tool-versions is the wish within it. The image
 * has the runtime alone, builds have the compiler.
 */
export function javaRequest(
  source: Source,
  constraint: VersionText | undefined,
): { tool: ToolRequest; warnings: string[] } {
  const files: [text: string | undefined, from: string][] = [
    [property(source, 'system.properties', 'java.runtime.version'), 'system.properties'],
    [firstLine(source, '.java-version'), '.java-version'],
    [property(source, '.sdkmanrc', 'java'), '.sdkmanrc'],
    [toolVersion(source, ['java']), '.tool-versions'],
  ]
  const { pin, warnings } = firstPin(
    files.map(([text, from]) => (text === undefined ? text : javaVersion(text, from))),
  )
  return {
    tool: {
      tool: 'java',
      constraint,
      pin,
      choose: 'system.properties with a line such as java.runtime.version=21',
      inImage: true,
      suite: { name: 'Java', candidates: ['21', '25', '17', '11'].map(candidate) },
    },
    warnings,
  }
}

/** Environment of every process of a Java app. */
export const javaEnv: Record<string, string> = {
  LANG: 'C.UTF-8',
  PATH: systemPath,
  // Of the container's limit; a JVM left alone takes a quarter of it. The rest is for what is not
  // heap: classes, threads, buffers.
  JAVA_TOOL_OPTIONS: '-XX:MaxRAMPercentage=60 -XX:+ExitOnOutOfMemoryError',
}

function candidate(major: string) {
  const run = `openjdk-${major}-jre-headless`
  const build = `openjdk-${major}-jdk-headless`
  return { package: build, run: [run], build: [build] }
}

/**
 * A version as distributors write it, each in its way: `21`, `1.8`, `openjdk-21.0.2`, `21.0.2-tem`,
 * `temurin-21.0.2+13.0.LTS`. Throws a Failure that names the file.
 */
export function javaVersion(text: string, from: string): VersionText {
  const words = text.trim()
  const number = /(?:^|-)(\d+(?:\.\d+){0,2})/.exec(words)?.[1]?.replace(/^1\.([5-8])(\.0)?$/, '$1')
  const range = number === undefined ? null : semver.validRange(number)
  if (range) return { text: printable(words), range, from }
  throw new Failure('failed', `${from} says "${printable(words)}": not a Java version`, {
    hint: 'Use a version such as 21',
  })
}

/** The release that a build file compiles for, as a rule: that JDK or a newer one. */
export function atLeast(text: string, from: string): VersionText {
  const { range } = javaVersion(text, from)
  return { text, range: `>=${semver.minVersion(range)?.major ?? 0}`, from }
}

function property(source: Source, file: string, key: string): string | undefined {
  for (const line of (source.readText(file, 65536) ?? '').split(/\r?\n/)) {
    const [, name, value] = /^\s*([\w.]+)\s*[=:]\s*(\S+)/.exec(line) ?? []
    if (name === key) return value
  }
  return undefined
}
