//! What a customer does before it orders: it browses, searches, looks, and fills its cart.

use super::Customer;
use crate::courier::Found;
use crate::documents::{Available, Product, ProductPage};
use crate::record::Call;
use crate::wire::{Request, escaped};
use crate::words;

/// Products that one customer remembers.
const REMEMBERED: usize = 60;
const MOST_PIECES: u32 = 3;

impl Customer {
    /// Some page of all, or the first of a category, in some order.
    pub(super) async fn browse(&mut self) -> Result<(), Found> {
        let mut path = if self.random.u32(0..10) < 4 {
            let category = self.random.choice(words::CATEGORIES).copied().unwrap_or_default();
            format!("/v1/products?category={category}")
        } else {
            format!("/v1/products?page={}", self.random.u32(1..=self.pages.max(1)))
        };
        let whole = path.contains("page=");
        if self.random.u32(0..10) < 3 {
            let sort = self.random.choice(words::SORTS).copied().unwrap_or_default();
            path.push_str(&format!("&sort={sort}"));
        }
        let page = self.products_of(Call::Browse, path).await?;
        if whole {
            self.pages = page.pages;
        }
        self.remember(page.items);
        Ok(())
    }

    pub(super) async fn search(&mut self) -> Result<(), Found> {
        let word = self.random.choice(words::SEARCHES).copied().unwrap_or_default();
        let path = format!("/v1/products?search={}", escaped(word));
        let page = self.products_of(Call::Search, path).await?;
        self.remember(page.items);
        Ok(())
    }

    pub(super) async fn look(&mut self) -> Result<(), Found> {
        let Some(id) = self.random.choice(&self.products).map(|product| product.id.clone()) else {
            return Ok(());
        };
        let call = Call::LookAtProduct;
        let request = Request::get(format!("/v1/products/{id}"));
        let reply = self.courier().call(call, &request, &[200]).await?;
        let product: Product = self.courier().read(call, &reply)?;
        if product.id != id {
            let what = format!("asked for {id}, got {}", product.id);
            return Err(self.courier().found_in(call, &what, &reply));
        }
        if self.random.bool() {
            let call = Call::LookAtStock;
            let request = Request::get(format!("/v1/products/{id}/stock"));
            let reply = self.courier().call(call, &request, &[200]).await?;
            let stock: Available = self.courier().read(call, &reply)?;
            if stock.available < 0 {
                let what = format!("{} pieces of {id} are available", stock.available);
                return Err(self.courier().found_in(call, &what, &reply));
            }
        }
        Ok(())
    }

    /// A product stands in one line only.
    pub(super) fn put_in_cart(&mut self) {
        let Some(product) = self.random.choice(&self.products).cloned() else { return };
        let pieces = self.random.u32(1..=MOST_PIECES);
        if self.cart.iter().all(|(other, _)| other.id != product.id) {
            self.cart.push((product, pieces));
        }
    }

    async fn products_of(&self, call: Call, path: String) -> Result<ProductPage, Found> {
        let reply = self.courier().call(call, &Request::get(path), &[200]).await?;
        self.courier().read(call, &reply)
    }

    fn remember(&mut self, products: Vec<Product>) {
        for product in products {
            if self.products.iter().any(|known| known.id == product.id) {
                continue;
            }
            if self.products.len() < REMEMBERED {
                self.products.push(product);
            } else {
                let forgotten = self.random.usize(0..REMEMBERED);
                self.products[forgotten] = product;
            }
        }
    }
}
