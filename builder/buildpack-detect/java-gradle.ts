import { Failure } from '../../core/errors.ts'
import type { Source } from '../source/source.ts'
import { findJar, jarWeb } from './java-jar.ts'
import { frameworkOf } from './java-maven.ts'
import { atLeast, javaEnv, javaRequest, javaVersion } from './java-version.ts'
import { cacheTarget, type LanguagePlan, type Surroundings, type VersionText } from './plan.ts'

/** The file that says a tree is built by Gradle. */
export function isGradle(source: Source): string | undefined {
  return gradleFiles.find((file) => source.isFile(file))
}

const gradleFiles = [
  'build.gradle',
  'build.gradle.kts',
  'settings.gradle',
  'settings.gradle.kts',
] as const

/** Gradle by its wrapper alone: that of Debian is from 2018 and runs on no Java that it has. */
export function gradlePlan(source: Source, around: Surroundings): LanguagePlan {
  refuseWithoutWrapper(source)
  const build = read(source, 'build.gradle')
  const app = read(source, 'app/build.gradle')
  const all = `${build.text}\n${app.text}`
  const { tool, warnings } = javaRequest(source, compilesFor(build) ?? compilesFor(app))
  const framework = frameworkOf(all)
  const start = startScript(source, { build: build.text, app: app.text })
  const usesStage = /\btask(s\.\w+)?[\s("']+stage\b/.test(build.text)
  const task = usesStage ? 'stage' : start ? 'installDist' : 'assemble'
  const web = framework.web ?? start
  return {
    tools: [tool],
    steps: [
      {
        name: 'build',
        kind: 'build',
        title: `./gradlew ${task}`,
        argv: ['sh', '-c', script + (web ? '' : findJar(around)), task],
        env: { GRADLE_USER_HOME: `${cacheTarget}/gradle`, GRADLE_OPTS: '-Xmx64m' },
        configKeys: [...new Set(['GRADLE_TASK', ...askedKeys(all)])],
        configPrefixes: ['ORG_GRADLE_PROJECT_'],
        inputs: { kind: 'tree', why: 'every file' },
        on: [],
        inImage: true,
        shareable: false,
        drop: ['.gradle', ...unneeded],
        hint: `Try it at home with: ./gradlew ${task}`,
      },
    ],
    env: javaEnv,
    warnings,
    web: web ?? jarWeb(framework.options, 'the jar that Gradle makes'),
    howToStart: 'Add a Procfile with: web: java -jar build/libs/app.jar',
  }
}

const unneeded = ['generated', 'kotlin', 'reports', 'test-results', 'tmp'].map(
  (name) => `build/${name}`,
)

const script = `set -e
sh ./gradlew --no-daemon --console=plain \${GRADLE_TASK:-"$0"}
`

function refuseWithoutWrapper(source: Source): void {
  const needed = ['gradlew', 'gradle/wrapper/gradle-wrapper.jar']
  const missing = needed.find((file) => !source.isFile(file))
  if (missing === undefined) return
  throw new Failure('failed', `Gradle detected, but there is no ${missing}`, {
    hint: 'Make it with "gradle wrapper" and commit gradlew and gradle/wrapper (git add --force)',
  })
}

type BuildFile = { text: string; file: string }

function read(source: Source, name: string): BuildFile {
  const file = [name, `${name}.kts`].find((one) => source.isFile(one))
  return { text: file === undefined ? '' : (source.readText(file) ?? ''), file: file ?? name }
}

function compilesFor({ text, file }: BuildFile): VersionText | undefined {
  // Gradle takes a toolchain of that very version and no other.
  const toolchain = /JavaLanguageVersion\.of\(\s*["']?(\d+)|jvmToolchain\(\s*(\d+)/.exec(text)
  const exact = toolchain?.[1] ?? toolchain?.[2]
  if (exact !== undefined) return javaVersion(exact, `the toolchain in ${file}`)
  const named =
    /(sourceCompatibility|options\.release)[\s=.(]*(?:set\()?(?:JavaVersion\.VERSION_)?["']?([\d_.]+)/
  const [, name, text2] = named.exec(text) ?? []
  return text2 === undefined ? undefined : atLeast(text2.replace('_', '.'), `${name} in ${file}`)
}

/** With the plugin `application` alone there is a start script, and no jar that runs by itself. */
function startScript(
  source: Source,
  { build, app }: { build: string; app: string },
): LanguagePlan['web'] {
  const whole = /shadow|org\.springframework\.boot|io\.ktor\.plugin|io\.micronaut|io\.quarkus/
  const applies = /(?:^|[\s"'(`])application(?:["'`)\s]|$)/m
  if (applies.test(app) && !whole.test(app)) {
    return { command: 'app/build/install/app/bin/app', from: 'application in app/build.gradle' }
  }
  const settings = read(source, 'settings.gradle').text
  const name = /rootProject\.name\s*=\s*["']([\w.-]+)["']/.exec(settings)?.[1]
  if (name === undefined || !applies.test(build) || whole.test(build)) return undefined
  return { command: `build/install/${name}/bin/${name}`, from: 'application in build.gradle' }
}

function askedKeys(text: string): string[] {
  const asked = /System\.getenv\(?["']([A-Z][A-Z0-9_]*)["']|environmentVariable\(["']([A-Z][\w]*)/g
  return [...text.matchAll(asked)].map(([, one, other]) => one ?? other ?? '')
}
