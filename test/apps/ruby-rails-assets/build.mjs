import { mkdirSync, writeFileSync } from 'node:fs'
import words from 'words'

mkdirSync('app/assets/builds', { recursive: true })
writeFileSync('app/assets/builds/app.js', words)
