import { Failure } from '../../core/errors.ts'
import type { Source } from '../source/source.ts'
import { findJar, jarWeb } from './java-jar.ts'
import { atLeast, javaEnv, javaRequest } from './java-version.ts'
import { cacheTarget, type LanguagePlan, type Surroundings, type VersionText } from './plan.ts'

/** A pom.xml: by the wrapper where there is one, else by Debian's Maven. */
export function mavenPlan(source: Source, around: Surroundings): LanguagePlan {
  const pom = source.readText('pom.xml') ?? ''
  if (!/<project[\s>]/.test(pom)) {
    throw new Failure('failed', 'pom.xml has no <project>', {
      hint: 'Mend pom.xml, commit and push again',
    })
  }
  const wrapper = usesWrapper(source)
  const { tool, warnings } = javaRequest(source, compilesFor(pom))
  const framework = frameworkOf(pom)
  const maven = wrapper ? 'sh ./mvnw' : 'mvn'
  const title = `${wrapper ? './mvnw' : 'mvn'} -DskipTests package`
  return {
    tools: [tool],
    apt: { run: [], build: wrapper ? [] : ['maven'] },
    steps: [
      {
        name: 'build',
        kind: 'build',
        title,
        argv: ['sh', '-c', script(maven, pom) + (framework.web ? '' : findJar(around))],
        env: { MAVEN_USER_HOME: `${cacheTarget}/m2`, MAVEN_OPTS: '-Xmx512m' },
        configKeys: [...new Set([...ownKeys, ...askedKeys(source, pom)])],
        configPrefixes: [],
        inputs: { kind: 'tree', why: 'every file' },
        on: [],
        inImage: true,
        shareable: false,
        drop: unneeded.map((name) => `target/${name}`),
        hint: `Try it at home with: ${title}`,
      },
    ],
    env: javaEnv,
    warnings,
    web: framework.web ?? jarWeb(framework.options, 'the jar that Maven makes'),
    howToStart: 'Add a Procfile with: web: java -jar target/app.jar',
  }
}

/** Said by the owner of the app; a token may be among them. */
const ownKeys = ['MAVEN_ARGS', 'MAVEN_CUSTOM_GOALS', 'MAVEN_CUSTOM_OPTS', 'MAVEN_SETTINGS_PATH']

const unneeded = [
  'generated-sources',
  'generated-test-sources',
  'maven-archiver',
  'maven-status',
  'surefire-reports',
  'test-classes',
]

/** Goals and options are several words each: the shell is to part them. */
const script = (maven: string, pom: string) => `set -e
set -- --batch-mode --no-transfer-progress -Dmaven.repo.local=${cacheTarget}/m2/repository${
  pom.includes('project.build.outputTimestamp') ? '' : sameTime
}
if [ -n "$MAVEN_SETTINGS_PATH" ]; then set -- "$@" --settings "$MAVEN_SETTINGS_PATH"; fi
${maven} "$@" \${MAVEN_CUSTOM_OPTS:--DskipTests} \${MAVEN_CUSTOM_GOALS:-package}`

/** Jars then say another time of making than their own, and are equal when nothing changed. */
const sameTime = ' -Dproject.build.outputTimestamp=1980-02-01T00:00:00Z'

function usesWrapper(source: Source): boolean {
  if (!source.isFile('mvnw')) return false
  if (source.isFile('.mvn/wrapper/maven-wrapper.properties')) return true
  throw new Failure('failed', 'mvnw is there, and .mvn/wrapper/maven-wrapper.properties is not', {
    hint: 'Commit what "mvn wrapper:wrapper" makes, or remove mvnw to use the Maven of Debian',
  })
}

function compilesFor(pom: string): VersionText | undefined {
  const names = ['maven.compiler.release', 'release', 'java.version', 'maven.compiler.target']
  for (const name of names) {
    const tag = name.replaceAll('.', '\\.')
    const text = new RegExp(`<${tag}>\\s*([\\d.]+)\\s*</${tag}>`).exec(pom)?.[1]
    if (text !== undefined) return atLeast(text, `${name} in pom.xml`)
  }
  return undefined
}

/** How a framework is told the port, and what it starts with where that has a fixed name. */
export function frameworkOf(build: string): {
  options: string
  web: LanguagePlan['web']
} {
  if (/io\.quarkus/.test(build)) {
    const options = '-Dquarkus.http.host=0.0.0.0 -Dquarkus.http.port=$PORT'
    const folder = /<modelVersion>/.test(build) ? 'target' : 'build'
    const command = `java $JAVA_OPTS ${options} -jar ${folder}/quarkus-app/quarkus-run.jar`
    const isWhole = /uber-jar/.test(build)
    return { options, web: isWhole ? undefined : { command, from: 'Quarkus' } }
  }
  if (/org\.springframework\.boot/.test(build)) {
    return { options: '-Dserver.port=$PORT', web: undefined }
  }
  if (/io\.micronaut/.test(build)) {
    return { options: '-Dmicronaut.server.port=$PORT', web: undefined }
  }
  return { options: '', web: undefined }
}

/** `${env.TOKEN}` in the settings or the pom. */
function askedKeys(source: Source, pom: string): string[] {
  const settings = ['settings.xml', '.mvn/settings.xml']
  const texts = [pom, ...settings.map((file) => source.readText(file) ?? '')]
  return texts.flatMap((text) =>
    [...text.matchAll(/\$\{env\.([A-Z][A-Z0-9_]*)\}/g)].map(([, key = '']) => key),
  )
}
