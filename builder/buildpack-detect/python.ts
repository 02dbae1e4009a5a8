import type { Source } from '../source/source.ts'
import { nodeAssets } from './node-assets.ts'
import { type Detector, type LanguagePlan, systemPath } from './plan.ts'
import { findManager } from './python-managers.ts'
import { djangoSteps, pythonWeb } from './python-web.ts'
import { pythonRequest } from './python-version.ts'

/** Python: pip, Poetry, uv, Pipenv or a project's own pyproject.toml, in a venv at /app/.venv. */
export const python: Detector = {
  language: 'Python',
  looksFor: 'requirements.txt, pyproject.toml, Pipfile, setup.py or uv.lock',
  detect: (source) => markers.find((file) => source.isFile(file)),
  plan: planPython,
}

const markers = [
  'requirements.txt',
  'pyproject.toml',
  'Pipfile',
  'setup.py',
  'uv.lock',
  'poetry.lock',
]

function planPython(source: Source): LanguagePlan {
  const manager = findManager(source)
  const { tool, warnings } = pythonRequest(source, manager)
  const install = manager.step ? [manager.step] : []
  const names = install.map(({ name }) => name)
  const assets = nodeAssets(source, names)
  const beneath = [...names, ...assets.steps.map((step) => step.name)]
  return {
    tools: [tool, ...assets.tools],
    apt: { run: [], build: manager.packages },
    steps: [...install, ...assets.steps, ...djangoSteps(source, beneath)],
    env: {
      LANG: 'C.UTF-8',
      PATH: `/app/.venv/bin:${systemPath}`,
      PYTHONUNBUFFERED: '1',
      ...(install.length > 0 && { VIRTUAL_ENV: '/app/.venv' }),
    },
    warnings: [...manager.warnings, ...warnings, ...assets.warnings],
    web: pythonWeb(source, manager.names),
    howToStart: 'Add a Procfile with: web: python app.py, or gunicorn app:app and gunicorn itself',
  }
}
