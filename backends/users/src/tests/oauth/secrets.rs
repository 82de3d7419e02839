//! What is in the tables: nothing that opens anything.

use sqlx::Row;

use super::*;

#[tokio::test]
async fn no_secret_is_stored_in_clear() {
    dump(&shop().await).await;
}

/// Goes through everything that hands out or takes a secret, and looks for each of them in every
/// column of every table.
pub(in crate::tests) async fn dump(shop: &Shop) {
    let body = json!({"email": "bob@example.com", "password": "a password of Bob's",
        "display_name": "Bob"});
    let request = Request::builder().method("POST").uri("/v1/users");
    let request = request.header(CONTENT_TYPE, "application/json").header("idempotency-key", "k1");
    let registered = shop.send(request.body(Body::from(body.to_string())).unwrap()).await;
    assert_eq!(registered.status, 201, "{}", registered.text);

    let form = signed(&shop.authorize(&[]).await);
    let unused = shop.code(&[]).await;
    let code = shop.code(&[]).await;
    let first = shop.redeem(&code).await;
    let second = shop.refresh(text(&first, "refresh_token")).await;
    let office = shop.backoffice("keys:rotate").await;
    let mut secrets = vec![
        form.as_str(),
        &unused,
        &code,
        PASSWORD,
        "a password of Bob's",
        BACKOFFICE_SECRET,
        VERIFIER,
        text(&office, "access_token"),
    ];
    for tokens in [&first, &second] {
        let refresh = text(tokens, "refresh_token");
        secrets.extend([refresh, &refresh[..43], &refresh[43..]]);
        secrets.extend([text(tokens, "access_token"), text(tokens, "id_token")]);
    }
    let tables = tables(shop).await;
    for known in ["accounts", "oauth_codes", "oauth_grants", "idempotency_keys", "outbox"] {
        assert!(tables.contains(&known.to_owned()), "{tables:?}");
    }
    let mut values = 0;
    for table in tables {
        let query = format!("SELECT * FROM {table}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query));
        for row in rows.fetch_all(shop.database.pool()).await.unwrap() {
            for column in 0..row.len() {
                let Ok(Some(value)) = row.try_get::<Option<String>, _>(column) else { continue };
                values += 1;
                for secret in &secrets {
                    assert!(!value.contains(secret), "{secret} is in {table}: {value}");
                }
            }
        }
    }
    assert!(values > 50, "only {values} values were looked at");
}

/// Those of the service; the engine's own and the list of migrations hold nothing of ours.
async fn tables(shop: &Shop) -> Vec<String> {
    let query = match shop.database.engine() {
        shop_platform::database::Engine::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        }
        shop_platform::database::Engine::Postgres => {
            "SELECT CAST(table_name AS TEXT) FROM information_schema.tables \
             WHERE table_schema = current_schema()"
        }
    };
    let names: Vec<String> =
        sqlx::query_scalar(query).fetch_all(shop.database.pool()).await.unwrap();
    let engine = |name: &String| name.starts_with('_') || name.starts_with("sqlite_");
    names.into_iter().filter(|name| !engine(name)).collect()
}
