export default { output: 'export', distDir: 'exported' }
