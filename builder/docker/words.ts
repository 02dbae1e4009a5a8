import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Say } from '../../core/types.ts'
import { exportMark } from './tool.ts'

/** What buildah says, as people read it; and what it failed of, in our own words. */
export function openWords(say: Say) {
  let step = 'buildah'
  let failed: string | undefined
  let exports = false
  return {
    onLine(line: string): void {
      if (line === exportMark) exports = true
      else if (line.startsWith('Error: ')) failed = line.slice('Error: '.length)
      else if (!isNoise(line)) say(`       ${line.replace(/Using cache [0-9a-f]{64}$/, 'cached')}`)
      step = /^(?:\[\d+\/\d+\] )?STEP \d+\/\d+: (.*)$/.exec(line)?.[1] ?? step
    },
    /** The step that runs. */
    command: {
      get title() {
        return printable(exports ? 'writing the image' : step)
      },
      hint,
    },
    /** Why it ended, where it has said so. */
    failure: (file: string): Failure | undefined => {
      if (failed === undefined) return undefined
      const [, title = '', code] = exitPattern.exec(failed) ?? []
      if (code === undefined) {
        return new Failure('failed', `${file} could not be built: ${printable(failed)}`, {
          hint: `It failed at: ${printable(step)}`,
        })
      }
      const seen = `"${printable(title)}" exited with ${code}; its output is above`
      return new Failure('failed', seen, { hint })
    },
  }
}

const hint = 'Try it at home: docker build .'

const exitPattern = /^building at STEP "([\s\S]*)": (?:while running runtime: )?exit status (\d+)$/

function isNoise(line: string): boolean {
  return (
    /^(--> )?[0-9a-f]{12,64}$/.test(line) ||
    /^(COMMIT localhost\/built|Successfully tagged |subprocess exited with status )/.test(line)
  )
}
