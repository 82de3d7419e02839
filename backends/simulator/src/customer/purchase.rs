//! An order: sent once or twice, followed to its end or left alone, cancelled or kept.

use serde_json::json;
use uuid::Uuid;

use super::Customer;
use crate::audit::ledger::Placed;
use crate::behaviour::{Delivery, Purchase, Then};
use crate::courier::Found;
use crate::documents::{Order, OrderState, Product};
use crate::record::Call;
use crate::wire::Request;

impl Customer {
    pub(super) async fn purchase(&mut self) -> Result<(), Found> {
        let Some((method, card)) = self.pick_card() else { return Ok(()) };
        if !self.shop.till.take() {
            return Ok(());
        }
        let purchase = Purchase::draw(&mut self.random);
        let cart = std::mem::take(&mut self.cart);
        let key = self.key();
        let order = match self.place(&cart, method, &key, purchase.delivery).await {
            Ok(order) => order,
            Err(found) => {
                self.ledger.doubtful += 1;
                return Err(found);
            }
        };
        self.ledger.placed.push(Placed::new(order.id, card));
        match purchase.delivery {
            Delivery::Once => {}
            Delivery::TwiceAtOnce => self.ledger.twice_at_once += 1,
            Delivery::AfterGivingUp(_) => self.ledger.after_giving_up += 1,
        }
        if let Some(what) = difference(&cart, &order) {
            self.courier().found(Call::PlaceOrder, &what);
        }
        self.see_through(order.id, purchase.then).await
    }

    /// However often the request is sent, it is one order.
    async fn place(
        &self,
        cart: &[(Product, u32)],
        method: Uuid,
        key: &str,
        delivery: Delivery,
    ) -> Result<Order, Found> {
        let lines: Vec<_> = cart
            .iter()
            .map(|(product, pieces)| json!({"product_id": product.id, "quantity": pieces}))
            .collect();
        let body = json!({"lines": lines, "payment_method": method});
        let request = Request::post("/v1/orders").json(&body).key(key);
        match delivery {
            Delivery::Once => self.send(request).await,
            Delivery::TwiceAtOnce => {
                let (one, two) = tokio::join!(self.send(request.clone()), self.send(request));
                match (one, two) {
                    (Ok(one), Ok(two)) if one.id != two.id => {
                        let what = format!("key {key} became orders {} and {}", one.id, two.id);
                        Err(self.courier().found(Call::PlaceOrder, &what))
                    }
                    // What went wrong with the other is recorded.
                    (Ok(order), _) | (Err(Found), Ok(order)) => Ok(order),
                    (Err(Found), Err(Found)) => Err(Found),
                }
            }
            Delivery::AfterGivingUp(after) => {
                let first = request.clone().token(&self.session.token());
                self.courier().give_up_on(&first, after).await;
                self.send(request).await
            }
        }
    }

    async fn send(&self, request: Request) -> Result<Order, Found> {
        let reply = self.session.call(Call::PlaceOrder, request, &[202]).await?;
        self.courier().read(Call::PlaceOrder, &reply)
    }

    async fn see_through(&mut self, id: Uuid, then: Then) -> Result<(), Found> {
        match then {
            Then::Leaves => Ok(()),
            Then::Waits => self.follow(id).await.map(drop),
            Then::CancelsAtOnce => {
                self.cancel(id).await?;
                self.follow(id).await.map(drop)
            }
            Then::CancelsAfterwards => {
                if self.follow(id).await? != OrderState::Confirmed {
                    return Ok(());
                }
                self.cancel(id).await?;
                self.follow(id).await.map(drop)
            }
        }
    }
}

/// What differs between a cart and the order that came of it.
fn difference(cart: &[(Product, u32)], order: &Order) -> Option<String> {
    let id = order.id;
    if cart.len() != order.lines.len() {
        return Some(format!("order {id} has {} lines, not {}", order.lines.len(), cart.len()));
    }
    cart.iter().zip(&order.lines).find_map(|((product, pieces), line)| {
        let same = line.product_id == product.id
            && line.quantity == *pieces
            && line.unit_price == product.price;
        let what = || format!("order {id} has {line:?}, not {pieces} of {product:?}");
        (!same).then(what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::{Line, Money};

    #[test]
    fn an_order_is_what_was_in_the_cart() {
        let euros = |minor_units| Money { minor_units, currency: "EUR".to_owned() };
        let product = |id: &str, price| Product { id: id.to_owned(), price: euros(price) };
        let line = |id: &str, quantity, price| Line {
            product_id: id.to_owned(),
            quantity,
            unit_price: euros(price),
        };
        let check = |lines: Vec<Line>, expected: bool| {
            let order = Order {
                id: Uuid::nil(),
                state: OrderState::Pending,
                reason: None,
                refunded: false,
                lines,
                total: euros(0),
                complaints: 0,
                version: 1,
            };
            let cart = [(product("lamp", 500), 2), (product("desk", 9000), 1)];
            let found = difference(&cart, &order);
            assert_eq!(found.is_none(), expected, "{found:?}");
        };
        let (lamp, desk) = (line("lamp", 2, 500), line("desk", 1, 9000));
        check(vec![lamp.clone(), desk.clone()], true);
        check(vec![lamp.clone()], false);
        check(vec![desk.clone(), lamp.clone()], false);
        check(vec![line("lamp", 1, 500), desk.clone()], false);
        check(vec![line("lamp", 2, 499), desk], false);
        check(vec![lamp, line("chair", 1, 9000)], false);
    }
}
