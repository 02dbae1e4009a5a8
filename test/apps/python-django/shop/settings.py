import os

SECRET_KEY = os.environ["SECRET_KEY"]
STATIC_ROOT = "static"
