import { Failure } from '../../core/errors.ts'
import type { Source } from '../source/source.ts'
import { gradlePlan, isGradle } from './java-gradle.ts'
import { mavenPlan } from './java-maven.ts'
import { javaEnv, javaRequest } from './java-version.ts'
import type { Detector, LanguagePlan, Surroundings } from './plan.ts'

/**
 * Java and Kotlin: Maven, Gradle by its wrapper, or a lone Main.java. The image has no compiler.
 */
export const java: Detector = {
  language: 'Java',
  looksFor: 'pom.xml, build.gradle, build.gradle.kts or Main.java',
  detect: (source) => markers.find((file) => source.isFile(file)),
  plan: planJava,
}

const mains = ['Main.java', 'src/Main.java']
const markers = [
  'pom.xml',
  'build.gradle',
  'build.gradle.kts',
  'settings.gradle',
  'settings.gradle.kts',
  ...mains,
]

function planJava(source: Source, around: Surroundings): LanguagePlan {
  if (source.isFile('pom.xml')) {
    const plan = mavenPlan(source, around)
    const other = isGradle(source)
    if (other) plan.warnings.push(`pom.xml and ${other} are both there: pom.xml is used`)
    return plan
  }
  if (isGradle(source)) return gradlePlan(source, around)
  return plainPlan(source)
}

/** One directory of sources, compiled as it is. */
function plainPlan(source: Source): LanguagePlan {
  const main = mains.find((file) => source.isFile(file))
  if (main === undefined) throw new Failure('failed', 'There is no Main.java')
  const { tool, warnings } = javaRequest(source, undefined)
  const libraries = source.isDirectory('lib') ? ':lib/*' : ''
  return {
    tools: [tool],
    steps: [
      {
        name: 'build',
        kind: 'build',
        title: 'javac',
        argv: ['sh', '-c', compile, main === 'Main.java' ? '.' : 'src'],
        env: {},
        configKeys: [],
        configPrefixes: [],
        inputs: { kind: 'tree', why: 'every file' },
        on: [],
        inImage: true,
        shareable: false,
        drop: [],
        hint: 'The compiler says above what is wrong; for libraries use Maven or Gradle',
      },
    ],
    env: javaEnv,
    warnings,
    web: { command: `java $JAVA_OPTS -cp 'target/classes${libraries}' Main`, from: main },
    howToStart: 'Add a Procfile with: web: java -cp target/classes Main',
  }
}

const compile = `set -e
find "$0" -name '*.java' > /tmp/sources
javac -encoding UTF-8 -d target/classes -cp 'lib/*' @/tmp/sources`
