"""What people hold and how they spend it: the figures behind generated data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Currency:
    """Its share of the wallets, what a USD is worth in it, and its usual banknote."""

    share: int
    per_usd: float
    banknote: int


@dataclass(frozen=True, slots=True)
class Habit:
    """A kind of payment: log-normal amounts, of which `round_share` are in notes."""

    weight: int
    median_usd: float
    spread: float
    descriptions: tuple[str | None, ...]
    round_share: float = 0.0


CURRENCIES = {
    "USD": Currency(70, 1.0, 20),
    "EUR": Currency(12, 0.9, 10),
    "GBP": Currency(6, 0.8, 10),
    "JPY": Currency(5, 150.0, 1000),
    "INR": Currency(4, 85.0, 500),
    "KWD": Currency(3, 0.3, 5),
}

INCOME = (
    Habit(25, 2800, 0.4, ("Salary", "Monthly salary", "Payroll")),
    Habit(40, 120, 0.8, ("Top-up", "Top-up by card", "Cash deposit", None), 1.0),
    Habit(20, 25, 0.8, ("Refund", "Refund for a returned order")),
    Habit(15, 450, 0.7, ("Invoice paid", "Freelance work", "Bonus"), 0.3),
)
SPENDING = (
    Habit(30, 34, 0.6, ("Groceries", "Supermarket", "Farmers' market")),
    Habit(22, 5, 0.4, ("Coffee", "Bakery", "Lunch to go", None)),
    Habit(14, 28, 0.5, ("Restaurant", "Dinner out", "Pizza delivery")),
    Habit(14, 42, 0.9, ("Online order", "Books", "Clothes", "Electronics")),
    Habit(10, 90, 0.6, ("Cash machine", "Cash withdrawal"), 1.0),
    Habit(8, 12, 0.4, ("Streaming subscription", "Phone plan", "Music")),
    Habit(8, 38, 0.5, ("Fuel", "Train ticket", "Taxi")),
    Habit(3, 1250, 0.3, ("Rent", "Rent and utilities"), 0.5),
)
PAYMENTS = (
    Habit(6, 22, 0.6, ("Dinner, my half", "Tickets", "Thank you!", None)),
    Habit(3, 80, 0.7, ("Birthday present", "Pocket money"), 1.0),
    Habit(1, 400, 0.5, ("Share of the rent", "Loan paid back"), 0.5),
)
