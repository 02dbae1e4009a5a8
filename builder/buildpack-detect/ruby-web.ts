import type { Source } from '../source/source.ts'
import type { Gems } from './ruby-gems.ts'
import { isRails } from './ruby-rails.ts'

type Web = { command: string; from: string }

/** How a tree's web process starts: Rails, config.ru by the server it has, or a usual program. */
export function rubyWeb(source: Source, gems: Gems): Web | undefined {
  const run = gems.file === undefined ? '' : 'bundle exec '
  if (isRails(gems) && source.isFile('config/application.rb')) {
    return { command: `${run}rails server -b 0.0.0.0 -p $PORT`, from: 'config/application.rb' }
  }
  if (source.isFile('config.ru')) {
    return { command: run + rackCommand(source, gems), from: 'config.ru' }
  }
  const file = usualFiles.find((name) => source.isFile(name))
  if (file === undefined) return undefined
  const options = gems.names.has('sinatra') ? ' -o 0.0.0.0 -p $PORT' : ''
  return { command: `${run}ruby ${file}${options}`, from: file }
}

const usualFiles = ['app.rb', 'main.rb', 'server.rb', 'web.rb', 'index.rb']

function rackCommand(source: Source, { file, names }: Gems): string {
  if (names.has('puma') || file === undefined) return puma(source)
  if (names.has('falcon')) return 'falcon serve --bind http://0.0.0.0:$PORT'
  if (names.has('unicorn')) return 'unicorn -l 0.0.0.0:$PORT'
  if (names.has('thin')) return 'thin start -a 0.0.0.0 -p $PORT'
  return 'rackup -o 0.0.0.0 -p $PORT'
}

function puma(source: Source): string {
  const config = source.isFile('config/puma.rb') ? '-C config/puma.rb ' : ''
  return `puma ${config}-b tcp://0.0.0.0:$PORT config.ru`
}
