//! The OpenAPI document against the service: every route is in it, and no status comes that is
//! not.

use super::*;

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let shop = shop().await;
    let document = shop.get("/openapi.json", None).await;
    assert_eq!(document.status, 200);
    let mut found: Vec<String> = Vec::new();
    for (path, item) in document.body["paths"].as_object().unwrap() {
        found.extend(item.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    found.sort();
    let expected = [
        "get /.well-known/jwks.json",
        "get /.well-known/oauth-authorization-server",
        "get /.well-known/openid-configuration",
        "get /oauth/authorize",
        "get /oauth/userinfo",
        "get /v1/users/me",
        "post /oauth/authorize",
        "post /oauth/revoke",
        "post /oauth/token",
        "post /oauth/userinfo",
        "post /v1/keys/rotate",
        "post /v1/sessions",
        "post /v1/users",
    ];
    assert_eq!(found, expected);
}

/// Sends each route what it does not expect, and looks up the status and the type of the answer.
#[tokio::test]
async fn every_answer_is_declared() {
    let shop = shop().await;
    let document = shop.get("/openapi.json", None).await.body;
    let session = shop.token("ada@example.com").await;
    let bearer = format!("Bearer {session}");
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    let good = json!({"email": "c@example.com", "password": "correct horse battery",
        "display_name": "C"})
    .to_string();
    let wrong = json!({"email": "ada@example.com", "password": "wrong"}).to_string();
    let large = "a".repeat(70_000);
    let bodies = [
        (json, ""),
        (json, "{"),
        (json, "[]"),
        (json, "{\"email\": 1}"),
        (json, &good),
        (json, &good),
        (json, &wrong),
        (json, &large),
        ("text/plain", "{}"),
        (form, ""),
        (form, "%ff"),
        (form, "a=%00"),
        (form, "authorization=a"),
        (form, "client_id=shop-web"),
        (form, "client_id=shop-web&grant_type=refresh_token&refresh_token=a"),
        (form, "client_id=shop-web&token=a"),
        (form, &large),
    ];
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for authorization in [None, Some("Bearer a"), Some("Basic Og=="), Some(&*bearer)] {
                for (kind, body) in bodies {
                    let mut request = Request::builder()
                        .method(&*method.to_uppercase())
                        .uri(path)
                        .header(CONTENT_TYPE, kind);
                    if let Some(value) = authorization {
                        request = request.header(AUTHORIZATION, value);
                    }
                    let answer =
                        shop.send(request.body(Body::from(body.to_owned())).unwrap()).await;
                    let case = format!("{method} {path} {kind} {body:.40}: {}", answer.status);
                    assert!(answer.status < 500, "{case}");
                    let declared = &operation["responses"][answer.status.to_string()];
                    assert!(declared.is_object(), "{case} is not declared");
                    if !answer.text.is_empty() {
                        let kind = answer.headers["content-type"].to_str().unwrap();
                        let kind = kind.split(';').next().unwrap();
                        assert!(declared["content"][kind].is_object(), "{case} as {kind}");
                    }
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 800, "{seen}");
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let shop = shop().await;
    let document = shop.get("/openapi.json", None).await;
    let mut references = 0;
    for part in document.text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.body.pointer(pointer).is_some(), "{pointer}");
        references += 1;
    }
    assert!(references > 20, "{references}");
    for operation in document.body["paths"].as_object().unwrap().values() {
        for operation in operation.as_object().unwrap().values() {
            for requirement in operation["security"].as_array().into_iter().flatten() {
                for name in requirement.as_object().unwrap().keys() {
                    let scheme = &document.body["components"]["securitySchemes"][name];
                    assert!(scheme.is_object(), "{name}");
                }
            }
        }
    }
}
