// A push service that others wrote, on a free port of this machine; it says which.
import {createRequire} from 'node:module';

const require = createRequire(import.meta.url);
const Server = require('web-push-testing/src/server.js');
const {PushApiModel} = require('web-push-testing/src/PushApiModel.js');

const model = new PushApiModel();
const server = new Server(model, 0);
server.setRequestHandlers();
const listening = server._app.listen(0, '127.0.0.1', () => {
	const {port} = listening.address();
	model.notifyUrl = `http://127.0.0.1:${port}/notify/`;
	console.log(port);
});
