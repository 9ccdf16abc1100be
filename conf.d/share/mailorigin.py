# The token of the request that is served, for the programs that it runs.
#
# Where httpd says "MailOriginForward On", the request header MailOrigin-Token
# says which request of httpd's this is.  wsgi(application) keeps it beside the
# request, so that requests in other threads have their own, and what they run
# by the module subprocess (os.popen too) gets it as MAILORIGIN_TOKEN.  Without
# that header all is as if this were not here.
import contextvars
import os
import subprocess

token = contextvars.ContextVar("mailorigin", default=None)


class Popen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        value = token.get()
        if value and len(args) < 11:  # the 11th is env
            env = kwargs.get("env")
            env = dict(os.environ if env is None else env)
            env["MAILORIGIN_TOKEN"] = value
            kwargs["env"] = env
        super().__init__(*args, **kwargs)


subprocess.Popen = Popen


def wsgi(application):
    def serve(environ, start_response):
        token.set(environ.get("HTTP_MAILORIGIN_TOKEN"))
        return application(environ, start_response)

    return serve
