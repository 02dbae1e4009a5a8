export default { build: { outDir: 'site' } }
