from setuptools import setup

setup(name="shop", version="1.0.0", py_modules=["shop"])
