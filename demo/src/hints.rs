//! What a person may try while the shop stays open: lines to be pasted into another terminal.

use portcullis_testkit::process::workspace_binary;

use crate::client::reachable;
use crate::customer::{EMAIL, PASSWORD};
use crate::programs::{Premises, SIMULATOR};
use crate::say;
use crate::secret::VARIABLE;

pub(crate) fn print(premises: &Premises<'_>) -> anyhow::Result<()> {
    let places = premises.places;
    let simulator = workspace_binary(SIMULATOR)?;
    say::line(format_args!(
        r#"
The shop stays open until Ctrl-C. Try, in another terminal:

  # Names for what follows.
  shop={url} json='content-type: application/json'
  key() {{ echo "idempotency-key: $(date +%s%N)"; }}
  value() {{ sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }}
  # Repeats a command until its output has a text: events arrive a moment after the change.
  until_has() {{ text=$1; shift; for i in $(seq 300); do "$@" | grep -e "$text" && return; sleep 0.1; done; false; }}

  # Ada logs in, adds a card, and buys a lamp.
  curl -sk "$shop/v1/products?search=lamp"
  token=$(curl -sk $shop/v1/sessions -H "$json" \
    -d '{{"email": "{EMAIL}", "password": "{PASSWORD}"}}' | value access_token)
  bearer="authorization: Bearer $token"
  card=$(curl -sk $shop/v1/payment-methods -H "$bearer" -H "$json" -H "$(key)" \
    -d '{{"card_number": "4242 4242 4242 4242", "expiry_month": 12, "expiry_year": 2099}}' | value id)
  order=$(curl -sk $shop/v1/orders -H "$bearer" -H "$json" -H "$(key)" \
    -d '{{"lines": [{{"product_id": "walnut-desk-lamp", "quantity": 1}}], "payment_method": "'$card'"}}' | value id)
  until_has '"state":"confirmed"' curl -sk $shop/v1/orders/$order -H "$bearer"
  until_has captured curl -sk "$shop/v1/payments?limit=1" -H "$bearer"
  until_has order.confirmed curl -sk "$shop/v1/notifications?limit=2" -H "$bearer"
  until_has .eml ls {mail}

  # The back office looks into the books; then a crowd comes, and they must balance still.
  export {VARIABLE}={secret}
  books=$(curl -sk $shop/oauth/token -d grant_type=client_credentials -d client_id=shop-backoffice \
    -d client_secret=${VARIABLE} | value access_token)
  curl -sk $shop/v1/orders/books -H "authorization: Bearer $books"
  {simulator} --url $shop --insecure --orders 100

  # The gateway refuses, redirects, counts and explains itself.
  curl -ski $shop/nowhere
  curl -si http://localhost:{plain}/
  curl -s http://{status}/metrics
  curl -s http://{admin}/routes

Configuration: {config} (a change of it is live when it is saved)
Behind the gateway: users {users}, products {products} (gRPC {inventory}), orders {orders},
  payments {payments} (gRPC {payments_grpc}), notifications {notifications}; each has /openapi.json
"#,
        url = places.url(),
        mail = premises.file("mail"),
        secret = premises.secret.reveal(),
        simulator = simulator.display(),
        plain = places.plain.port(),
        status = reachable(places.status),
        admin = places.admin,
        config = places.config.display(),
        users = places.users,
        products = places.products,
        inventory = places.inventory,
        orders = places.orders,
        payments = places.payments,
        payments_grpc = places.payments_grpc,
        notifications = places.notifications,
    ));
    Ok(())
}
