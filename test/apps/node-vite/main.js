document.querySelector('#app').textContent = `hello from ${import.meta.env.VITE_WHERE ?? 'Vite'}`
