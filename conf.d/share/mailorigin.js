// The token of the request that is served, for the programs that it runs.
//
// Where httpd says "MailOriginForward On", the request header MailOrigin-Token
// says which request of httpd's this is.  This middleware keeps it beside the
// request, through everything that it awaits, and what it runs by child_process
// (spawn, exec, execFile; so nodemailer too) gets it as MAILORIGIN_TOKEN.  For
// the …Sync ones there is { env: mailorigin.env() }.  Without that header all
// is as if this were not here.
'use strict';
const { AsyncLocalStorage } = require('async_hooks');
const { ChildProcess } = require('child_process');

const store = new AsyncLocalStorage();
const spawn = ChildProcess.prototype.spawn;

ChildProcess.prototype.spawn = function (options) {
  const token = store.getStore();
  if (token && options && Array.isArray(options.envPairs))
    options.envPairs = options.envPairs
      .filter((pair) => !pair.startsWith('MAILORIGIN_TOKEN='))
      .concat('MAILORIGIN_TOKEN=' + token);
  return spawn.call(this, options);
};

module.exports = (request, response, next) =>
  store.run(request.headers['mailorigin-token'], next);
module.exports.env = () => {
  const token = store.getStore();
  return token ? { ...process.env, MAILORIGIN_TOKEN: token } : process.env;
};
