import { Failure } from '../../core/errors.ts'
import type { Source } from '../source/source.ts'
import { findJar, jarWeb } from './java-jar.ts'
import { javaEnv, javaRequest } from './java-version.ts'
import { cacheTarget, type Detector, type LanguagePlan, type Surroundings } from './plan.ts'

/** Clojure by Debian's Leiningen. */
export const clojure: Detector = {
  language: 'Clojure',
  looksFor: 'project.clj',
  detect: (source) => ['project.clj', 'deps.edn'].find((file) => source.isFile(file)),
  plan: planClojure,
}

function planClojure(source: Source, around: Surroundings): LanguagePlan {
  if (!source.isFile('project.clj')) {
    throw new Failure('failed', 'Clojure detected (deps.edn), but Debian has no Clojure CLI', {
      hint: 'Add a project.clj for Leiningen, or build with a Dockerfile',
    })
  }
  const { tool, warnings } = javaRequest(source, undefined)
  return {
    tools: [tool],
    apt: { run: [], build: ['leiningen'] },
    steps: [
      {
        name: 'build',
        kind: 'build',
        title: 'lein uberjar',
        argv: ['sh', '-c', `set -e\nlein \${LEIN_BUILD_TASK:-uberjar}\n${findJar(around)}`],
        env: {
          LEIN_HOME: `${cacheTarget}/lein`,
          LEIN_JVM_OPTS: `-Xmx512m -Duser.home=${cacheTarget}/lein`,
        },
        configKeys: ['LEIN_BUILD_TASK'],
        configPrefixes: [],
        inputs: { kind: 'tree', why: 'every file' },
        on: [],
        inImage: true,
        shareable: false,
        drop: ['target/classes', 'target/stale', 'target/uberjar/classes', 'target/uberjar/stale'],
        hint: 'Try it at home with: lein uberjar',
      },
    ],
    env: javaEnv,
    warnings,
    web: jarWeb('', 'the jar that Leiningen makes'),
    howToStart: 'Add a Procfile with: web: java -jar target/app-standalone.jar',
  }
}
