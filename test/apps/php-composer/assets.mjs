import { writeFileSync } from 'node:fs'

writeFileSync('public/made.txt', 'made by Node\n')
