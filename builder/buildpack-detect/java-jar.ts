import type { LanguagePlan, Surroundings } from './plan.ts'

/** Arguments of `java` that start the app; written by the build, which alone knows jars' names. */
const argumentsFile = '.paas/web.args'

/** A `web` that starts the one runnable jar of the build. `options` come before it. */
export function jarWeb(options: string, from: string): LanguagePlan['web'] {
  const command = ['java', '$JAVA_OPTS', options, `@${argumentsFile}`].filter(Boolean).join(' ')
  return { command, from }
}

/**
 * Shell text that finds the runnable jar below `target` or `build/libs`. With none, or several, the
 * build fails, unless the app itself says what to start.
 */
export function findJar({ processes }: Surroundings): string {
  return processes ? '' : script
}

const script = `
: > /tmp/runnable
find . \\( -name .git -o -name node_modules -o -name src -o -name gradle \\) -prune -o -type f \\
  \\( -path '*/target/*.jar' -o -path '*/target/*.war' \\
     -o -path '*/build/libs/*.jar' -o -path '*/build/libs/*.war' \\) -print | sort |
while IFS= read -r jar; do
  case $jar in
    */target/uberjar/*-standalone.jar) ;;
    */target/*/*|*-sources.jar|*-javadoc.jar|*-tests.jar|*-plain.jar|*/original-*) continue ;;
  esac
  if unzip -p "$jar" META-INF/MANIFEST.MF 2>/dev/null | grep -q '^Main-Class:'; then
    echo "$jar" >> /tmp/runnable
  fi
done
if [ "$(wc -l < /tmp/runnable)" -gt 1 ]; then
  grep -E -e '-(standalone|all|fat|shaded|exec|runner|jar-with-dependencies)\\.' /tmp/runnable \\
    > /tmp/whole || :
  [ "$(wc -l < /tmp/whole)" -ne 1 ] || cp /tmp/whole /tmp/runnable
fi
if [ "$(wc -l < /tmp/runnable)" -ne 1 ]; then
  echo "Expected one jar with a Main-Class in its manifest; found:" >&2
  sed 's/^/  /' /tmp/runnable >&2
  [ -s /tmp/runnable ] || echo "  none" >&2
  echo "Say what to start in a Procfile, such as: web: java -jar target/app.jar" >&2
  exit 1
fi
mkdir -p .paas
sed 's/^/-jar "/; s/$/"/' /tmp/runnable > ${argumentsFile}
echo "Runnable: $(cat /tmp/runnable)"
`
