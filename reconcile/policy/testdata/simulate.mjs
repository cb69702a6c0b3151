// Answers requests by @cloud-copilot/iam-simulate, one JSON document a line:
// node simulate.mjs NODE_MODULES <requests >results
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'

const load = (path) => import(pathToFileURL(join(process.argv[2], '@cloud-copilot', path)))
const { loadPolicy } = await load('iam-policy/dist/esm/index.js')
const { authorize } = await load('iam-simulate/dist/esm/core_engine/CoreSimulatorEngine.js')
const { AwsRequestImpl } = await load('iam-simulate/dist/esm/request/request.js')
const { RequestContextImpl } = await load('iam-simulate/dist/esm/requestContext.js')
const { DiscoveryContextKeyConstraints } = await load('iam-simulate/dist/esm/context_keys/discoveryContextKeyConstraints.js')

const policy = (doc) => (doc ? loadPolicy(doc, { name: 'p' }) : undefined)
for await (const line of createInterface({ input: process.stdin })) {
  const c = JSON.parse(line)
  let result
  try {
    result = authorize({
      request: new AwsRequestImpl(c.principal || { type: 'Anonymous' }, { resource: c.resource, accountId: c.account }, c.action, new RequestContextImpl(c.context)),
      sessionPolicy: policy(c.session),
      identityPolicies: (c.identity || []).map(policy),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      resourcePolicy: policy(c.resourcePolicy),
      permissionBoundaries: c.boundary ? [policy(c.boundary)] : undefined,
      vpcEndpointPolicies: undefined,
      simulationParameters: { simulationMode: 'Strict', discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]) },
      serviceSettings: {},
    }).result
  } catch (e) {
    result = 'error: ' + e.message
  }
  console.log(JSON.stringify(result))
}
