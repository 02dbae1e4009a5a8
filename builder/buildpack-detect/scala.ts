import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import { javaEnv, javaRequest } from './java-version.ts'
import { cacheTarget, type Detector, type LanguagePlan } from './plan.ts'

/**
 * Scala by sbt, in the version that project/build.properties says; sbt-native-packager starts it.
 */
export const scala: Detector = {
  language: 'Scala',
  looksFor: 'build.sbt',
  detect: (source) => ['build.sbt'].find((file) => source.isFile(file)),
  plan: planScala,
}

function planScala(source: Source): LanguagePlan {
  const { tool, warnings } = javaRequest(source, undefined)
  const plugins = source
    .list('project')
    .filter((name) => name.endsWith('.sbt'))
    .map((name) => source.readText(`project/${name}`) ?? '')
    .join('\n')
  const packaged = /sbt-native-packager|"org\.playframework"|"com\.typesafe\.play"/.test(plugins)
  const task = packaged ? 'stage' : 'compile'
  return {
    tools: [tool],
    apt: { run: [], build: ['maven'] },
    steps: [
      {
        name: 'build',
        kind: 'build',
        title: `sbt ${task}`,
        argv: ['sh', '-c', script, sbtVersion(source), task],
        env: {
          COURSIER_CACHE: `${cacheTarget}/coursier`,
          SBT_OPTS: `-Dsbt.global.base=${cacheTarget}/sbt -Dsbt.boot.directory=${cacheTarget}/sbt/boot -Dsbt.ivy.home=${cacheTarget}/ivy`,
        },
        configKeys: ['SBT_TASKS'],
        configPrefixes: [],
        inputs: { kind: 'tree', why: 'every file' },
        on: [],
        inImage: true,
        shareable: false,
        drop: ['project/project', 'project/target', 'target/streams'],
        hint: `Try it at home with: sbt ${task}`,
      },
    ],
    env: javaEnv,
    warnings,
    web: packaged ? startScript(source, plugins) : undefined,
    howToStart:
      'Add sbt-native-packager to project/plugins.sbt, which makes a start script, and a Procfile',
  }
}

function sbtVersion(source: Source): string {
  const text = source.readText('project/build.properties') ?? ''
  const version = /^\s*sbt\.version\s*=\s*(\S+)/m.exec(text)?.[1]
  if (version !== undefined && /^\d+\.\d+\.\d+[\w.-]*$/.test(version)) return version
  const seen = version === undefined ? 'does not say' : `says "${printable(version)}" for`
  throw new Failure('failed', `project/build.properties ${seen} the version of sbt`, {
    hint: 'Write project/build.properties with a line such as: sbt.version=1.10.7',
  })
}

/** A program of the tree's own in `sbt` wins; else Maven fetches the launcher, and checks it. */
const script = `set -e
if [ -f ./sbt ]; then exec sh ./sbt \${SBT_TASKS:-"$1"}; fi
launcher=${cacheTarget}/sbt-launch-$0.jar
if [ ! -f "$launcher" ]; then
  (cd /tmp && mvn --batch-mode --no-transfer-progress --quiet --strict-checksums \\
    -Dmaven.repo.local=${cacheTarget}/m2/repository -Dartifact=org.scala-sbt:sbt-launch:$0 \\
    -DoutputDirectory=${cacheTarget} org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy)
fi
exec java -Xmx1g $SBT_OPTS -jar "$launcher" \${SBT_TASKS:-"$1"}
`

function startScript(source: Source, plugins: string): LanguagePlan['web'] {
  const build = source.readText('build.sbt') ?? ''
  const name = /^\s*(?:ThisBuild\s*\/\s*)?name\s*:=\s*"([^"]+)"/m.exec(build)?.[1]
  if (name === undefined) return undefined
  const normal = name.toLowerCase().replace(/[^a-z0-9]+/g, '-')
  const isPlay = /"org\.playframework"|"com\.typesafe\.play"/.test(plugins)
  const port = isPlay ? ' -Dhttp.port=$PORT -Dpidfile.path=/dev/null' : ''
  return { command: `target/universal/stage/bin/${normal}${port}`, from: 'name in build.sbt' }
}
