//! Words of other proxies, and words of this one that mean nothing yet, each with its cure.
//!
//! One table: at which object a word is written, and which key does its work here; words for a policy
//! stand in its own file. A key that is planned stands here until it works, and never in the schema
//! before.

use super::folded;
use crate::policy;

/// What helps the author of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cure {
    /// The way to the key that does it, and what to write. The text names the key.
    Key(&'static str, &'static str),
    /// A key that is planned.
    Later,
    /// It is said elsewhere than in the configuration, or not at all.
    Elsewhere(&'static str),
}

use Cure::{Elsewhere, Key, Later};

/// By the object as messages name it.
pub(crate) type Entry = (&'static str, &'static [&'static str], Cure);

/// The cure of a key that `object` does not have.
pub(crate) fn cure(object: &str, key: &str) -> Option<Cure> {
    let wanted = folded(key);
    let of_object = TABLE.iter().chain(policy::foreign()).filter(|(of, ..)| *of == object);
    let known = |words: &&[&str]| words.iter().any(|word| folded(word) == wanted);
    of_object.into_iter().find(|(_, words, _)| known(words)).map(|(.., cure)| *cure)
}

/// The word of `known` that means what `written` means elsewhere, with what to add to it.
pub(crate) fn word(written: &str, known: &[&str]) -> Option<String> {
    let wanted = folded(written);
    if LATER_WORDS.iter().any(|(word, beside)| folded(word) == wanted && known.contains(beside)) {
        return Some(format!("`{written}` is not implemented yet"));
    }
    let mut words = WORDS.iter().filter(|(target, ..)| known.contains(target));
    let found = words.find(|(_, words, _)| words.iter().any(|word| folded(word) == wanted));
    found.map(|(target, _, more)| format!("write `{target}`{more}"))
}

impl Cure {
    /// For the report.
    pub(crate) fn help(self, key: &str) -> String {
        match self {
            Key(_, help) if help.starts_with('`') => format!("write {help}"),
            Key(_, help) | Elsewhere(help) => help.to_owned(),
            Later => format!("`{key}` is not implemented yet"),
        }
    }

    /// The last step of the way to the right key.
    pub(crate) fn meant(self) -> Option<&'static str> {
        match self {
            Key(way, _) => way.rsplit('.').next(),
            Later | Elsewhere(_) => None,
        }
    }
}

const FILTERS: Cure = Elsewhere(
    "there are no filters to be listed: what they do are keys of a route (`rewrite`, \
     `requestHeaders`, `redirect`), in a fixed order",
);
const LOGS: Cure = Elsewhere("the process logs to stderr: `run --log-level`, `--log-format`");

#[rustfmt::skip]
const TABLE: &[Entry] = &[
    // nginx: http, server. Traefik, Kong: services, routers. Envoy: clusters. HAProxy: backend, frontend. Caddy: apps.
    ("the configuration", &["services", "service", "clusters", "cluster", "backends", "backend", "upstream", "pools", "loadBalancers"], Key("upstreams", "`upstreams: [{name: ..., endpoints: [...]}]`")),
    ("the configuration", &["frontends", "frontend", "entryPoints", "gateways", "binds", "bind", "listen", "server", "servers", "ports"], Key("listeners", "`listeners: [{name: ..., address: \"[::]:8080\"}]`; what a server block holds besides are `routes`")),
    ("the configuration", &["routers", "router", "virtualHosts", "vhosts", "locations", "location", "paths", "rules", "httpRoutes", "ingress", "routeConfig", "handle"], Key("routes", "`routes: [{name: ..., match: {...}, backends: [...]}]`")),
    ("the configuration", &["http", "tcp", "stream", "apps", "staticResources", "dynamicResources", "spec"], Key("listeners", "there is no block around them: `listeners`, `upstreams` and `routes` stand at the top")),
    ("the configuration", &["middlewares", "middleware", "plugins", "filters", "httpFilters", "snippets"], FILTERS),
    ("the configuration", &["tls", "ssl", "certificates", "certs", "certificatesResolvers", "acme"], Key("listeners.tls", "`tls: {certificates: [{certFile: ..., keyFile: ...}]}` at a listener")),
    ("the configuration", &["threads", "workerProcesses", "nbthread", "concurrency"], Key("workers", "`workers: auto`, or a number")),
    ("the configuration", &["log", "logs", "logging", "errorLog", "logLevel"], LOGS),
    ("the configuration", &["metrics", "prometheus", "stats", "ping", "statsConfig", "status"], Key("listeners.kind", "a listener of `kind: status` shows metrics and health")),
    ("the configuration", &["api", "dashboard", "adminApi"], Key("admin", "`admin: {address: \"127.0.0.1:9901\"}`")),
    ("the configuration", &["timeouts", "timeout", "retry", "retries", "keepAlive", "loadBalancer", "requestLimits", "connectionLimits", "connectTimeout", "global"], Key("defaults", "what holds for all stands in `defaults`")),
    ("the configuration", &["memory", "memoryLimit", "overloadManager"], Key("limits.memory", "`limits: {memory: 512MiB}`")),
    ("the configuration", &["drainTimeout", "gracePeriod", "shutdownTimeout", "workerShutdownTimeout"], Key("shutdown.drainTimeout", "`shutdown: {drainTimeout: 30s}`")),
    ("the configuration", &["redirects"], Key("routes.redirect", "a route with `redirect` for each")),
    ("the configuration", &["include", "includes", "import", "imports", "providers"], Elsewhere("`--config` takes a directory: all its files are one configuration")),
    ("the configuration", &["user", "group", "pid", "daemon"], Elsewhere("the service manager says this")),
    ("the configuration", &["apiVersion", "kind", "metadata"], Key("version", "a configuration is no Kubernetes object: it begins with `version: v1`")),
    ("the configuration", &["jwtProviders", "jwt", "tracing", "opentelemetry", "mesh", "rateLimits", "rateLimit", "cache", "proxyCachePath", "auth", "consumers", "healthChecks", "healthCheck", "circuitBreaker", "redis"], Later),

    ("`defaults`", &["healthCheck", "outlierDetection", "circuitBreaker", "retryBudget", "rateLimits", "rateLimit", "jwt", "mirror", "cache", "compression"], Later),
    ("`defaults`", &["head", "body", "handshake"], Key("listeners.timeouts", "timeouts of clients stand at each listener: `timeouts`")),
    ("`defaults`", &["idleTimeout"], Key("defaults.keepAlive", "`keepAlive: {idleTimeout: 30s}`, or `timeouts: {idle: 60s}`")),
    ("`defaults`", &["response", "perTry", "idle", "timeout"], Key("defaults.timeouts", "`timeouts: {response: 15s}`")),
    ("`defaults`", &["tls", "protocol"], Key("upstreams", "this stands at each of `upstreams`")),

    ("a listener", &["bind", "listen", "port", "host", "ip", "addr", "hostPort", "socketAddress"], Key("listeners.address", "`address: \"[::]:8080\"`")),
    ("a listener", &["ssl", "https", "certificates", "certificate", "cert", "certFile", "crt", "sslCertificate", "tlsContext", "selfSigned"], Key("listeners.tls", "`tls: {certificates: [{certFile: ..., keyFile: ...}]}`")),
    ("a listener", &["clientAuth", "mtls", "sslVerifyClient"], Key("listeners.tls.clientAuth", "`tls: {clientAuth: {mode: required, caFile: ...}}`")),
    ("a listener", &["type", "mode"], Key("listeners.kind", "`kind: http`")),
    ("a listener", &["alpn", "http2", "http3", "h2c", "httpVersions", "codecType"], Key("listeners.protocols", "`protocols: [http1, http2]`")),
    ("a listener", &["routes", "route", "locations", "location", "paths", "filterChains", "routers", "virtualHosts", "rules", "defaultBackend"], Key("routes.listeners", "routes stand beside listeners and name them: `listeners: [...]`")),
    ("a listener", &["serverName", "serverNames", "hosts", "hostnames", "hostname", "domains"], Key("routes.match.hosts", "routes tell hosts apart: `match: {hosts: [...]}`")),
    ("a listener", &["redirect", "redirections", "httpsRedirect", "redirectToHttps"], Key("routes.redirect", "a route with `listeners: [...]` and `redirect: {scheme: https}`")),
    ("a listener", &["backends", "backend", "upstream", "upstreams", "services", "proxyPass"], Key("routes.backends", "a route with `listeners: [...]` and `backends: [{upstream: ...}]`")),
    ("a listener", &["maxConnections", "maxconn", "workerConnections", "connectionLimit"], Key("listeners.connectionLimits.max", "`connectionLimits: {max: 50000}`")),
    ("a listener", &["maxAge", "maxConnectionDuration", "maxConnectionAge"], Key("listeners.connectionLimits.maxAge", "`connectionLimits: {maxAge: 1h}`")),
    ("a listener", &["idleTimeout", "keepaliveTimeout", "readTimeout", "clientTimeout", "clientHeaderTimeout", "requestTimeout", "timeout"], Key("listeners.timeouts", "`timeouts: {head: 10s, idle: 75s, body: 30s}`")),
    ("a listener", &["clientMaxBodySize", "maxBodySize", "maxRequestBytes", "largeClientHeaderBuffers", "limits"], Key("listeners.requestLimits", "`requestLimits: {body: 10MiB}`")),
    ("a listener", &["forwardedHeaders", "setRealIpFrom", "realIp", "trustedIPs", "trustForwardedHeader", "useRemoteAddress"], Key("listeners.trustedProxies", "`trustedProxies: [10.0.0.0/8]`")),
    ("a listener", &["xffNumTrustedHops", "numTrustedHops", "depth"], Key("listeners.trustedHops", "`trustedHops: 1`")),
    ("a listener", &["acceptProxy", "proxyProtocolPolicy", "listenerFilters"], Key("listeners.proxyProtocol", "`proxyProtocol: require` with `trustedProxies`")),
    ("a listener", &["websocket", "websockets", "upgrade"], Key("listeners.upgrades", "`upgrades: [websocket]`, which is the default")),
    ("a listener", &["reusePort", "backlog", "tcpNodelay"], Elsewhere("this is always on")),
    ("a listener", &["rateLimit", "rateLimits", "jwt", "mesh", "compression", "gzip"], Later),

    ("the `tls` of a listener", &["cert", "certFile", "certificate", "certificateRefs", "crt", "key", "keyFile", "sslCertificate", "sslCertificateKey", "secretName", "pem"], Key("listeners.tls.certificates", "`certificates: [{certFile: ..., keyFile: ...}]`")),
    ("the `tls` of a listener", &["ca", "caFile", "clientCa", "clientCaFile", "mtls", "mode", "verify", "verifyClient", "requireClientCertificate"], Key("listeners.tls.clientAuth", "`clientAuth: {mode: required, caFile: ...}`")),
    ("the `tls` of a listener", &["version", "versions", "protocols", "tlsVersions", "sslProtocols", "sslMinVer"], Key("listeners.tls.minVersion", "`minVersion: TLSv1.2`")),
    ("the `tls` of a listener", &["alpn", "alpnProtocols"], Key("listeners.protocols", "`protocols: [http1, http2]` at the listener")),
    ("the `tls` of a listener", &["sni", "names", "domains", "hosts"], Key("listeners.tls.certificates", "each of `certificates` answers to the names in it")),
    ("the `tls` of a listener", &["ciphers", "cipherSuites", "curves", "certResolver", "acme", "enabled"], Elsewhere("there is nothing to choose: the ciphers of the TLS library, certificates from files")),
    ("a certificate", &["cert", "crt", "certificate", "chain", "fullchain", "file", "pem"], Key("listeners.tls.certificates.certFile", "`certFile: shop.crt`")),
    ("a certificate", &["key", "privateKey", "certKey"], Key("listeners.tls.certificates.keyFile", "`keyFile: shop.key`")),
    ("`clientAuth`", &["ca", "cas", "caCert", "caFiles", "rootCAs", "trustedCa"], Key("listeners.tls.clientAuth.caFile", "`caFile: partners.pem`")),
    ("`clientAuth`", &["crl", "crls"], Key("listeners.tls.clientAuth.crlFile", "`crlFile: partners.crl`")),
    ("`clientAuth`", &["type", "clientAuthType", "required", "verify"], Key("listeners.tls.clientAuth.mode", "`mode: required`")),
    ("`requestLimits`", &["bodySize", "maxBody", "maxBodySize", "size"], Key("listeners.requestLimits.body", "`body: 10MiB`")),
    ("`requestLimits`", &["rate", "rps", "requestsPerSecond"], Later),
    ("the `requestLimits` of a route", &["headerBytes", "headers", "uri"], Key("listeners.requestLimits", "a head is read before its route is known: `requestLimits` of the listener")),
    ("the `requestLimits` of a route", &["bodySize", "maxBody", "maxBodySize", "size"], Key("routes.requestLimits.body", "`body: 10MiB`")),
    ("the `requestLimits` of a route", &["rate", "rps", "requestsPerSecond"], Later),
    ("`connectionLimits`", &["maxConnections", "connections", "total"], Key("listeners.connectionLimits.max", "`max: 50000`")),
    ("the `timeouts` of a listener", &["header", "headers", "read", "request", "clientHeader"], Key("listeners.timeouts.head", "`head: 10s`")),
    ("the `timeouts` of a listener", &["keepAlive"], Key("listeners.timeouts.idle", "`idle: 75s`")),
    ("the `timeouts` of a listener", &["write", "send", "clientBody"], Key("listeners.timeouts.body", "`body: 30s`, which is for both directions")),
    ("the `timeouts` of a listener", &["tls", "ssl"], Key("listeners.timeouts.handshake", "`handshake: 10s`")),
    ("the `timeouts` of a listener", &["response", "perTry", "upstream"], Key("routes.timeouts", "what an upstream may take are the `timeouts` of a route, or of `defaults`")),
    ("the `timeouts` of a listener", &["connect"], Key("upstreams.connectTimeout", "`connectTimeout: 5s` at the upstream")),

    ("a route", &["stripPrefix", "stripPath", "prefixRewrite", "pathRewrite", "rewritePath", "replacePath", "replacePathRegex", "stripPrefixRegex", "addPrefix", "urlRewrite", "regexRewrite", "pathPrefixRewrite", "handlePath"], Key("routes.rewrite", "`rewrite: {prefix: /}`, which replaces the matched prefix; or `path`, or `regex` with `replacement`")),
    ("a route", &["proxyPass", "reverseProxy", "service", "services", "cluster", "clusters", "upstream", "upstreams", "server", "servers", "target", "targets", "to", "url", "backendRefs", "forwardTo", "weightedClusters", "loadBalancer", "useBackend", "defaultBackend", "dispatch", "destination", "destinations", "fastcgiPass", "grpcPass"], Key("routes.backends", "`backends: [{upstream: <name>}]`")),
    ("a route", &["hosts", "hostname", "hostnames", "domain", "domains", "serverName", "serverNames", "sni"], Key("routes.match.hosts", "`match: {hosts: [shop.example.com]}`")),
    ("a route", &["path", "paths", "prefix", "pathPrefix", "location", "uri", "rule", "rules", "exact", "regex"], Key("routes.match.path", "`match: {path: {prefix: /orders}}`")),
    ("a route", &["method", "methods"], Key("routes.match.methods", "`match: {methods: [GET]}`")),
    ("a route", &["query", "queryParams"], Key("routes.match.query", "`match: {query: [{name: q}]}`")),
    ("a route", &["cookie", "cookies"], Key("routes.match.cookies", "`match: {cookies: [{name: c}]}`, or `sticky: {cookie: ...}` to keep a client at its endpoint")),
    ("a route", &["headers", "header"], Key("routes.match.headers", "`match: {headers: [...]}` to test headers, `requestHeaders` or `responseHeaders` to change them")),
    ("a route", &["conditions", "condition", "predicates", "when"], Key("routes.match", "`match: {...}`")),
    ("a route", &["priority", "order", "regexPriority", "rank"], Elsewhere("the most specific route wins; the order of the file breaks ties")),
    ("a route", &["entryPoints", "listen", "bind", "gateways", "parentRefs", "frontend", "port"], Key("routes.listeners", "`listeners: [<name>]`")),
    ("a route", &["timeout", "requestTimeout", "responseTimeout", "proxyReadTimeout", "readTimeout", "serverTimeout"], Key("routes.timeouts", "`timeouts: {response: 30s}`")),
    ("a route", &["idleTimeout"], Key("routes.timeouts.idle", "`timeouts: {idle: 60s}`")),
    ("a route", &["connectTimeout", "proxyConnectTimeout", "keepAlive", "concurrency"], Key("upstreams", "this stands at each of `upstreams`, or in `defaults`")),
    ("a route", &["tls", "protocol"], Key("upstreams.tls", "what is spoken to an upstream stands there: `tls`, `protocol`")),
    ("a route", &["retries", "retryPolicy", "numRetries", "attempts", "proxyNextUpstream", "tries"], Key("routes.retry", "`retry: {retries: 1}`")),
    ("a route", &["addHeaders", "setHeaders", "headersToAdd", "proxySetHeader", "requestHeadersToAdd", "requestHeadersToRemove", "requestTransformer", "requestHeaderModifier", "headerUp", "customRequestHeaders", "removeHeaders"], Key("routes.requestHeaders", "`requestHeaders: {set: [{name: ..., value: ...}]}`")),
    ("a route", &["addHeader", "responseHeadersToAdd", "responseHeadersToRemove", "responseTransformer", "responseHeaderModifier", "headerDown", "customResponseHeaders", "expires", "proxyHideHeader"], Key("routes.responseHeaders", "`responseHeaders: {set: [{name: ..., value: ...}]}`")),
    ("a route", &["preserveHost", "passHostHeader", "hostRewrite", "hostHeader", "upstreamHost"], Key("routes.host", "`host: preserve`, `host: upstream`, or a name")),
    ("a route", &["return", "respond", "directResponse", "staticResponse", "fixedResponse", "deny", "errorPage", "response", "body"], Key("routes.reply", "`reply: {status: 200, body: ...}`")),
    ("a route", &["redir", "redirectRegex", "redirectScheme", "httpsRedirect", "requestRedirect", "forceHttps", "redirects"], Key("routes.redirect", "`redirect: {scheme: https}`")),
    ("a route", &["middlewares", "middleware", "plugins", "filters", "typedPerFilterConfig", "handle"], FILTERS),
    ("a route", &["stickySession", "stickySessions", "sessionAffinity", "affinity", "sessionPersistence"], Key("routes.sticky", "`sticky: {cookie: <name>}`")),
    ("a route", &["websockets", "upgrade", "upgrades", "upgradeConfigs", "enableWebsocket"], Key("routes.websocket", "WebSocket is on: `websocket: {...}` bounds it, `upgrades: []` at a listener turns it off")),
    ("a route", &["clientMaxBodySize", "maxBodySize", "bodyLimit", "buffering", "maxRequestBodyBytes"], Key("routes.requestLimits.body", "`requestLimits: {body: 10MiB}`")),
    ("a route", &["weight"], Key("routes.backends.weight", "`backends: [{upstream: ..., weight: 1}]`")),
    ("a route", &["accessLog", "log"], Key("accessLog", "one `accessLog` stands at the top, for all routes")),
    ("a route", &["root", "fileServer", "tryFiles", "index", "alias"], Elsewhere("files are served by an upstream: there is no file server here")),
    ("a route", &["jwt", "jwtProvider", "rateLimit", "rateLimits", "limitReq", "limitConn", "mirror", "mirrors", "requestMirror", "requestMirrorPolicies", "shadow", "cache", "proxyCache", "compression", "compress", "gzip", "encode", "auth", "forwardAuth", "authRequest", "extAuth", "extAuthz", "oidc", "oauth2", "keyAuth", "apiKey", "authorization", "circuitBreaker", "healthCheck", "outlierDetection"], Later),

    ("`match`", &["hostname", "hostnames", "domain", "domains", "serverName", "authority"], Key("routes.match.hosts", "`hosts: [shop.example.com]`")),
    ("`match`", &["serverNames"], Key("routes.match.sni", "`sni: [...]` of a `tls-passthrough` listener, else `hosts`")),
    ("`match`", &["prefix", "pathPrefix", "uri", "url", "location", "exact", "regex", "pathRegexp", "safeRegex"], Key("routes.match.path", "`path: {prefix: /orders}`")),
    ("`match`", &["queryParams", "queryParameters", "queries", "params"], Key("routes.match.query", "`query: [{name: q, exact: a}]`")),
    ("`match`", &["scheme", "port", "listener", "listeners"], Key("routes.listeners", "`listeners: [<name>]` beside `match`")),
    ("`path`", &["pathPrefix", "startsWith", "begins", "path"], Key("routes.match.path.prefix", "`prefix: /orders`")),
    ("`path`", &["type", "value", "equals"], Key("routes.match.path.exact", "`exact: /a`, `prefix: /a` or `regex: /a/.*`")),
    ("`path`", &["regexp", "pattern", "safeRegex", "matches"], Key("routes.match.path.regex", "`regex: /a/.*`, which matches the whole path")),
    ("a header to match", &["value", "values", "equals", "is", "type", "stringMatch"], Key("routes.match.headers.exact", "`exact: a`, `prefix: a` or `regex: a.*`")),
    ("a header to match", &["regexp", "pattern", "contains"], Key("routes.match.headers.regex", "`regex: .*a.*`, which matches the whole value")),
    ("a header to match", &["header", "key"], Key("routes.match.headers.name", "`name: x-channel`")),
    ("a query parameter to match", &["value", "values", "equals", "is", "type"], Key("routes.match.query.exact", "`exact: a`, `prefix: a` or `regex: a.*`")),
    ("a query parameter to match", &["param", "parameter", "key"], Key("routes.match.query.name", "`name: q`")),
    ("a cookie to match", &["value", "values", "equals", "is", "type"], Key("routes.match.cookies.exact", "`exact: a`, `prefix: a` or `regex: a.*`")),
    ("a cookie to match", &["cookie", "key"], Key("routes.match.cookies.name", "`name: c`")),
    ("a backend", &["name", "service", "cluster", "backend", "ref", "target"], Key("routes.backends.upstream", "`upstream: <name>`")),
    ("a backend", &["address", "url", "host", "port", "server", "dns", "endpoints"], Key("upstreams.endpoints", "a backend names one of `upstreams`, which has `endpoints`")),
    ("a backend", &["share", "percent", "ratio"], Key("routes.backends.weight", "`weight: 1`")),
    ("`redirect`", &["code", "statusCode", "responseCode", "permanent"], Key("routes.redirect.status", "`status: 308`")),
    ("`redirect`", &["to", "url", "location", "target", "uri"], Key("routes.redirect.host", "its parts: `scheme`, `host`, `port`, `path`")),
    ("`redirect`", &["hostname", "hostRedirect"], Key("routes.redirect.host", "`host: shop.example.com`")),
    ("`redirect`", &["https", "httpsRedirect", "schemeRedirect"], Key("routes.redirect.scheme", "`scheme: https`")),
    ("`redirect`", &["pathRedirect"], Key("routes.redirect.path", "`path: /new`")),
    ("`redirect`", &["prefixRewrite", "replacePrefixMatch"], Key("routes.redirect.prefix", "`prefix: /new`")),
    ("`redirect`", &["regex", "replacement"], Key("routes.redirect.path", "a redirect has a fixed `path` or `prefix`")),
    ("`reply`", &["code", "statusCode"], Key("routes.reply.status", "`status: 200`")),
    ("`reply`", &["text", "content", "message", "inlineString"], Key("routes.reply.body", "`body: ...`")),
    ("`reply`", &["headers", "header"], Key("routes.responseHeaders", "`responseHeaders: {set: [...]}` on the route")),
    ("`rewrite`", &["to", "with", "target", "value", "replacePrefixMatch", "stripPrefix", "prefixRewrite"], Key("routes.rewrite.prefix", "`prefix: /`, which replaces the matched prefix")),
    ("`rewrite`", &["from", "pattern", "match", "regexp"], Key("routes.rewrite.regex", "`regex: ...` with `replacement`")),
    ("`rewrite`", &["substitution", "replace", "substitute"], Key("routes.rewrite.replacement", "`replacement: ...` with `regex`")),
    ("`rewrite`", &["uri", "replaceFullPath", "fullPath"], Key("routes.rewrite.path", "`path: /new`")),
    ("`rewrite`", &["host", "hostname", "hostRewrite"], Key("routes.host", "`host: <name>` on the route")),
    ("`sticky`", &["name", "cookieName"], Key("routes.sticky.cookie", "`cookie: <name>`")),
    ("`sticky`", &["ttl", "expires", "timeout"], Key("routes.sticky.maxAge", "`maxAge: 1h`")),
    ("`sticky`", &["header", "sourceIp", "type"], Key("upstreams.loadBalancer.hash", "`loadBalancer: {policy: maglev, hash: {sourceIp: true}}` at the upstream")),
    ("`sticky`", &["secure", "httpOnly", "sameSite", "path", "domain"], Elsewhere("the cookie's attributes are not to be chosen")),
    ("header changes", &["delete", "unset", "hide"], Key("routes.requestHeaders.remove", "`remove: [<name>]`")),
    ("header changes", &["append"], Key("routes.requestHeaders.add", "`add: [{name: ..., value: ...}]`")),
    ("header changes", &["replace", "overwrite"], Key("routes.requestHeaders.set", "`set: [{name: ..., value: ...}]`")),
    ("a header", &["header", "key"], Key("routes.requestHeaders.set.name", "`name: x-channel`")),
    ("`timeouts`", &["request", "total", "route", "read", "overall"], Key("routes.timeouts.response", "`response: 15s`")),
    ("`timeouts`", &["backendRequest", "perTryTimeout", "perRetry", "attempt"], Key("routes.timeouts.perTry", "`perTry: 5s`")),
    ("`timeouts`", &["stream", "streamIdle", "send", "write"], Key("routes.timeouts.idle", "`idle: 60s`")),
    ("`timeouts`", &["connect", "connectTimeout"], Key("upstreams.connectTimeout", "`connectTimeout: 5s` at the upstream, or in `defaults`")),
    ("`timeouts`", &["head", "body", "handshake"], Key("listeners.timeouts", "what clients may take are the `timeouts` of a listener")),
    ("`retry`", &["attempts", "count", "max", "maxRetries", "numRetries", "tries"], Key("routes.retry.retries", "`retries: 1`")),
    ("`retry`", &["perTryTimeout", "perTry", "timeout"], Key("routes.timeouts.perTry", "`timeouts: {perTry: 5s}` on the route")),
    ("`retry`", &["retryOn", "on", "conditions", "codes", "statusCodes", "backoff", "interval", "initialInterval", "idempotencyKey", "budget", "retryBudget"], Later),
    ("`websocket`", &["timeout", "idle", "readTimeout"], Key("routes.websocket.idleTimeout", "`idleTimeout: 5m`")),
    ("`websocket`", &["enabled", "allow"], Key("listeners.upgrades", "`upgrades: []` at a listener to turn it off")),
    ("`websocket`", &["pingInterval", "ping", "maxMessageSize"], Elsewhere("frames are passed on as they are")),
    ("the `drain` of `websocket`", &["code", "status"], Key("routes.websocket.drain.closeCode", "`closeCode: 1001`")),
    ("the `drain` of `websocket`", &["over", "spread", "timeout"], Key("routes.websocket.drain.jitter", "`jitter: 30s`")),

    ("an upstream", &["servers", "server", "targets", "target", "nodes", "hosts", "host", "addresses", "address", "urls", "url", "loadAssignment", "lbEndpoints", "members", "destinations", "instances", "dns", "port"], Key("upstreams.endpoints", "`endpoints: [{address: \"127.0.0.1:7001\"}]`")),
    ("an upstream", &["lbPolicy", "lb", "balance", "balancer", "algorithm", "loadBalancing", "policy", "leastConn", "ipHash", "strategy"], Key("upstreams.loadBalancer", "`loadBalancer: {policy: least-request}`")),
    ("an upstream", &["hash", "hashOn", "hashPolicy"], Key("upstreams.loadBalancer.hash", "`loadBalancer: {policy: maglev, hash: {header: x-user}}`")),
    ("an upstream", &["slowStart"], Key("upstreams.loadBalancer.slowStart", "`loadBalancer: {slowStart: 30s}`")),
    ("an upstream", &["maxConnections", "maxConns", "maxconn", "maxPending", "maxPendingRequests", "queue", "limits"], Key("upstreams.concurrency", "`concurrency: {maxConnections: 1024, maxPending: 1024}`")),
    ("an upstream", &["maxIdle", "maxIdleConns", "pool", "idleTimeout", "keepaliveTimeout", "connectionPool"], Key("upstreams.keepAlive", "`keepAlive: {maxIdle: 256, idleTimeout: 30s}`")),
    ("an upstream", &["timeout", "timeouts", "readTimeout", "proxyReadTimeout", "responseTimeout"], Key("routes.timeouts", "`timeouts: {response: 15s}` on the route, or in `defaults`")),
    ("an upstream", &["retries", "retry", "retryPolicy"], Key("routes.retry", "`retry: {retries: 1}` on the route, or in `defaults`")),
    ("an upstream", &["http2", "h2", "h2c", "grpc", "http2ProtocolOptions", "protocols", "scheme", "appProtocol", "version", "httpVersion"], Key("upstreams.protocol", "`protocol: http2`; TLS is `tls: {}`")),
    ("an upstream", &["ssl", "https", "verify", "sslVerify", "insecureSkipVerify", "ca", "caFile", "serverName", "sni", "transportSocket", "serversTransport", "backendTLS"], Key("upstreams.tls", "`tls: {caFile: ...}`")),
    ("an upstream", &["sendProxy", "sendProxyV2"], Key("upstreams.proxyProtocol", "`proxyProtocol: v2`")),
    ("an upstream", &["sticky", "sessionAffinity", "stickySession", "cookie"], Key("routes.sticky", "`sticky: {cookie: <name>}` on the route")),
    ("an upstream", &["rewrite", "path", "stripPrefix"], Key("routes.rewrite", "`rewrite: {prefix: /}` on the route")),
    ("an upstream", &["passHostHeader", "preserveHost", "hostHeader"], Key("routes.host", "`host: upstream` on the route")),
    ("an upstream", &["weight"], Key("routes.backends.weight", "`backends: [{upstream: ..., weight: 1}]` on the route")),
    ("an upstream", &["type", "discovery", "serviceDiscovery", "resolver", "dnsLookupFamily"], Key("upstreams.endpoints", "`endpoints: [{dns: users.svc, port: 8080}]`, which is resolved again when its TTL is over")),
    ("an upstream", &["healthCheck", "healthChecks", "health", "check", "passiveHealthCheck", "outlierDetection", "maxFails", "failTimeout", "circuitBreaker", "circuitBreakers", "retryBudget"], Later),
    ("an endpoint", &["url", "uri", "ip", "addr", "server", "socketAddress", "target"], Key("upstreams.endpoints.address", "`address: \"127.0.0.1:7001\"`")),
    ("an endpoint", &["host", "hostname", "name", "domain", "service"], Key("upstreams.endpoints.dns", "`{dns: users.svc, port: 8080}`, or `address` with an IP address")),
    ("an endpoint", &["tls", "scheme", "protocol"], Key("upstreams.tls", "all endpoints of an upstream speak alike: `tls` and `protocol` beside `endpoints`")),
    ("an endpoint", &["kubernetes", "zone", "locality", "priority", "backup", "healthCheck", "maxFails"], Later),
    ("`loadBalancer`", &["type", "algorithm", "strategy", "method", "kind", "simple", "name", "lbPolicy"], Key("upstreams.loadBalancer.policy", "`policy: least-request`")),
    ("`loadBalancer`", &["hashOn", "hashPolicy", "consistentHash", "key", "header", "cookie", "sourceIp"], Key("upstreams.loadBalancer.hash", "`hash: {header: x-user}`")),
    ("`loadBalancer`", &["sticky", "servers"], Key("routes.sticky", "`sticky: {cookie: <name>}` on the route")),
    ("`hash`", &["ip", "clientIp", "remoteAddr", "src", "useSourceIp"], Key("upstreams.loadBalancer.hash.sourceIp", "`sourceIp: true`")),
    ("`hash`", &["uri", "url"], Key("upstreams.loadBalancer.hash.path", "`path: true`")),
    ("`hash`", &["param", "queryParam", "httpQueryParameterName"], Key("upstreams.loadBalancer.hash.query", "`query: <name>`")),
    ("`hash`", &["httpHeaderName", "headerName"], Key("upstreams.loadBalancer.hash.header", "`header: <name>`")),
    ("the `tls` of an upstream", &["insecureSkipVerify", "verify", "skipVerify", "insecure", "verifyPeer", "sslVerify"], Key("upstreams.tls.mode", "`mode: insecure`")),
    ("the `tls` of an upstream", &["sni", "hostname", "sslName"], Key("upstreams.tls.serverName", "`serverName: users.internal`")),
    ("the `tls` of an upstream", &["ca", "cas", "rootCAs", "caCert", "trustedCa", "caCertificates", "validationContext"], Key("upstreams.tls.caFile", "`caFile: ca.pem`")),
    ("the `tls` of an upstream", &["cert", "certificate", "certificates", "crt", "clientCertificate"], Key("upstreams.tls.certFile", "`certFile: id.crt` with `keyFile`")),
    ("the `tls` of an upstream", &["key", "privateKey"], Key("upstreams.tls.keyFile", "`keyFile: id.key` with `certFile`")),
    ("the `tls` of an upstream", &["san", "sans", "subjectAltNames", "matchSubjectAltNames", "spiffe"], Key("upstreams.tls.identities", "`identities: [...]`")),
    ("the `tls` of an upstream", &["alpn"], Key("upstreams.protocol", "`protocol: http2` at the upstream")),
    ("`concurrency`", &["connections", "maxConns", "max", "maxconn"], Key("upstreams.concurrency.maxConnections", "`maxConnections: 1024`")),
    ("`concurrency`", &["pending", "queue", "maxPendingRequests", "maxQueue"], Key("upstreams.concurrency.maxPending", "`maxPending: 1024`")),
    ("`concurrency`", &["maxRequests", "requests", "adaptive"], Later),
    ("`keepAlive`", &["max", "maxIdleConns", "connections", "size"], Key("upstreams.keepAlive.maxIdle", "`maxIdle: 256`")),
    ("`keepAlive`", &["timeout", "idle", "ttl"], Key("upstreams.keepAlive.idleTimeout", "`idleTimeout: 30s`")),

    ("`limits`", &["connections", "maxConnections"], Key("listeners.connectionLimits", "`connectionLimits: {max: 50000}` at a listener, or in `defaults`")),
    ("`limits`", &["body", "headers", "headerBytes", "uri", "request"], Key("listeners.requestLimits", "`requestLimits: {...}` at a listener, or in `defaults`")),
    ("`limits`", &["rate", "rateLimit", "rateLimits"], Later),
    ("`accessLog`", &["file", "filePath", "output", "sink", "to", "target", "filename"], Key("accessLog.path", "`path: access.ndjson`, `stdout`, `stderr` or `disabled`")),
    ("`accessLog`", &["fields", "include"], Key("accessLog.headers", "every field is always written; `headers: [user-agent]` adds request headers")),
    ("`accessLog`", &["sampling", "rate"], Key("accessLog.sample", "`sample: 5%`")),
    ("`accessLog`", &["enabled", "disabled", "off"], Key("accessLog.path", "`path: disabled`")),
    ("`accessLog`", &["level"], LOGS),
    ("`admin`", &["bind", "listen", "port", "host", "addr"], Key("admin.address", "`address: \"127.0.0.1:9901\"`")),
    ("`admin`", &["auth", "password", "secret", "apiKey"], Key("admin.token", "`token: ${env:ADMIN_TOKEN}`")),
    ("`shutdown`", &["timeout", "gracePeriod", "graceTimeout", "drain", "terminationGracePeriod"], Key("shutdown.drainTimeout", "`drainTimeout: 30s`")),
];

/// Values by the word that means the same here, and what to write beside it.
#[rustfmt::skip]
const WORDS: &[(&str, &[&str], &str)] = &[
    ("round-robin", &["rr", "wrr", "weighted-round-robin"], ""),
    ("least-request", &["least-conn", "least-connections", "leastconn", "first"], ""),
    ("p2c-ewma", &["p2c", "ewma", "peak-ewma", "least-time"], ""),
    ("ring-hash", &["ip-hash", "source", "uri", "consistent-hash", "hash", "ketama", "hrw"], " with `hash: {sourceIp: true}`"),
    ("http", &["https", "http1", "http2"], "; TLS is `tls: {...}`"),
    ("tls-passthrough", &["tls", "sni", "passthrough", "ssl-passthrough"], ""),
    ("http2", &["h2", "h2c", "grpc", "2", "HTTP/2", "kubernetes.io/h2c"], ""),
    ("http1", &["http", "http/1.1", "h1", "1.1"], ""),
    ("TLSv1.2", &["1.2", "1.0", "1.1", "TLSv1.1", "TLSv1.0", "VersionTLS12"], ", the oldest"),
    ("TLSv1.3", &["1.3", "VersionTLS13"], ""),
    ("tls", &["simple", "verify", "strict", "enabled"], ""),
    ("mutual", &["mtls", "istio-mutual"], ""),
    ("insecure", &["skip-verify", "none"], ""),
    ("required", &["RequireAndVerifyClientCert", "verify", "strict"], ""),
    ("optional", &["VerifyClientCertIfGiven", "request"], ""),
    ("v1", &["1", "v1alpha1", "v1beta1"], ""),
    ("json", &["combined", "common", "text", "ndjson", "logfmt"], ", the only form"),
];

/// Values that are planned, each with one that stands beside it.
const LATER_WORDS: &[(&str, &str)] =
    &[("inbound", "tls-passthrough"), ("outbound", "tls-passthrough")];

#[cfg(test)]
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    TABLE.iter().chain(policy::foreign())
}

#[cfg(test)]
pub(crate) fn words() -> impl Iterator<Item = (&'static str, &'static str)> {
    WORDS.iter().flat_map(|(target, words, _)| words.iter().map(|word| (*target, *word)))
}
