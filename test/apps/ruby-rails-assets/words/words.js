module.exports = 'bundled by Node'
