"""What is secret or personal is known by names and by values, and ordinary data is left alone."""

from __future__ import annotations

import random
import string
import time

import pytest

from famulus.jupyter_kernel import privacy
from famulus.jupyter_kernel.schema import Element

PRIVATE = """
password|user_password|passwordHash|PASSWD|db_pwd|secret|client_secret|api_key|apiKey|API_KEYS|access_token|token
authToken|refresh token|private_key|cvv|pin|session_cookie|email|Email Address|e-mail|customerEmail|contact_emails|phone
phone_number|home phone|Telephone|mobile|fax_no|address|street_address|shipping address|first_name|LastName|surname
full_name|patient_name|Customer Name|username|user name|ssn|SSN|social_security_number|passport_no|tax_id|date_of_birth
dob|birthday|BirthDate|iban|card_number|credit_card|CreditCardNumber|account_number|ip|ip_address|client_ip|ipv4
手机号|手机号码|联系电话|邮箱|电子邮箱|邮箱地址|姓名|客户姓名|身份证|身份证号|身份证号码|护照号|银行卡号|密码|登录密码|密钥|家庭住址|地址
出生日期|生日|微信号|收件人|IP地址
""".replace("\n", "|")

ORDINARY = """
price|unit_price|city|country|state|region|token_count|tokens|max_tokens|token_length|email_count|emails_sent
email_opened|password_length|password_strength|phone_model|phone_brand|phone_price|address_count|address_type|pin_count
name|product_name|city_name|file_name|column_name|store name|event_name|brand_name|team|title|description|category|date
timestamp|order_date|birth_rate|birth_year|birth_weight|deaths|age_group|quantity|revenue|total|id|user_id|order_id
customer_id|product_id|key|key_metric|keyboard|primary_key|keyword|secretary_count|tip|ship_mode|shipping|zip_file
description|cardinality|card_type|discard|account_type|accounts|account_balance|phone_calls|telephone_minutes|mobile_users
mobile_share|ratio|spin|opinion|pinned|cookies_sold|cookie_type|secret_santa_budget|ip_traffic|equipment|skip|strip|zip
street_count|mail_volume|mean|median|species|sepal_length|petal_width|island|bill_depth_mm|body_mass_g|sex|age|fare|pclass
survived|embarked|deck|who|alive|carat|cut|color|clarity|depth|table|mpg|cylinders|horsepower|weight|origin|model_year
latitude|longitude|temperature|humidity|wind_speed|score|rank|grade|lang|url|version|status|is_active|duration|distance
价格|城市|收入|产品名称|手机型号|手机品牌|电话数量|密码强度|数量|日期|销售额|月份|显卡|地区|类别|评分|订单号|商品|利润|得分|网址
""".replace("\n", "|")


def split(names: str) -> list[str]:
    return [name for name in (name.strip() for name in names.split("|")) if name]


def test_names_of_private_columns_are_known() -> None:
    assert [name for name in split(PRIVATE) if not privacy.by_name(name)] == []


def test_ordinary_columns_keep_their_samples() -> None:
    assert [name for name in split(ORDINARY) if privacy.by_name(name)] == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [("is_password_set", "bool"), ("email", "bool"), ("tokens", "number"), ("token", "number"), ("email", "number"),
     ("address", "number"), ("微信", "number"), ("password", "time")],
)  # fmt: skip
def test_flags_counts_and_times_are_not_private(name: str, kind: Element) -> None:
    assert privacy.by_name(name, kind) == ""


def test_a_plain_name_is_private_beside_columns_about_persons() -> None:
    people = privacy.of_people(["name", "age", "score"])
    assert people and privacy.by_name("name", "text", people)
    assert not privacy.of_people(["name", "price", "stock"])
    assert not privacy.by_name("product_name", "text", people)


VALUES = {
    privacy.CONTACT: ["ann@example.org", "a.b+c@mail.example.co.uk", "+49 30 1234567", "(030) 123-4567", "555-123-4567",
                      "13812345678", "write to ann@example.org please"],
    privacy.ACCOUNT: ["4111 1111 1111 1111", "5500005555555559", "378282246310005", "DE89370400440532013000",
                      "GB29 NWBK 6016 1331 9268 19"],
    privacy.IDENTITY: ["078-05-1120", "11010519491231002X"],
    privacy.ADDRESS: ["192.168.1.10", "2001:db8:0:0:8:800:200c:417a", "00:1b:44:11:3a:b7"],
    privacy.SECRET: ["sk-proj-abcdefghij1234567890", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "AKIAIOSFODNN7EXAMPLE",
                     "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
                     "postgres://bob:hunter2@db.example.org/shop", "-----BEGIN RSA PRIVATE KEY-----",
                     "https://x.example/?access_token=abcdef123456", "d41d8cd98f00b204e9800998ecf8427e",
                     "Bearer abcdefghijklmnop12345", "password=hunter22", "kR9xT2mQ8vL4nZ7bW1cY5pJ3"],
}  # fmt: skip

PLAIN = [
    "north", "2024-01-31", "2024-01-31 12:30:45", "12:30:45", "1.2.3", "v1.20.300.4000", "256.1.1.999", "3.14159",
    "hello world", "4111 1111 1111 1112", "4929-1234", "123e4567-e89b-12d3-a456-426614174000", "a/b/c.txt", "12345",
    "IMG_20240101_Holiday.jpg", "https://example.org/search?q=abc", "SKU-1234-5678", "ISBN 978-3-16-148410-0",
    "DE00370400440532013000", "110105194912310021", "MyVeryLongClassNameForTheFactory",
    "https://example.org/a/very/long/path/to/A/file/Named2Times.html", "handle_user_authentication_request",
    "One_Story_1946_and_Newer_All_Styles", "a long sentence about tokens, passwords and keys without any of them",
]  # fmt: skip


@pytest.mark.parametrize("reason", VALUES)
def test_private_values_are_known_by_their_form(reason: str) -> None:
    assert {value: privacy.in_text(value) for value in VALUES[reason]} == dict.fromkeys(VALUES[reason], reason)


def test_ordinary_values_are_told() -> None:
    assert [value for value in PLAIN if privacy.in_text(value)] == []


def test_a_column_is_private_if_a_quarter_of_it_is() -> None:
    assert privacy.by_values(["ann@example.org", "bob", "eve", None, 3]) == privacy.CONTACT
    assert privacy.by_values(["ann@example.org", *["bob"] * 9]) == ""
    assert privacy.by_values([4111111111111111, 5500005555555559]) == privacy.ACCOUNT
    assert privacy.by_values([1000000000000001, 1000000000000002]) == ""
    assert privacy.by_values([13812345678, 13912345678]) == privacy.CONTACT


def test_small_and_fine_numbers_are_measures_whatever_their_name() -> None:
    assert privacy.counts([1, 2, 99]) and privacy.counts([9.5, 2000.25])
    assert not privacy.counts([1, 1234]) and not privacy.counts([4930123456])


def test_keys_drawn_by_lot_are_known() -> None:
    drawn = random.Random(7)
    keys = [
        "".join(drawn.choices(string.ascii_letters + string.digits, k=length))
        for length in range(24, 64)
        for _ in "123"
    ]
    assert sum(map(bool, map(privacy.in_text, keys))) >= 0.95 * len(keys)


def test_patterns_show_the_form_and_nothing_else() -> None:
    assert privacy.pattern(["ann@example.org", "robert@mail.com"], privacy.CONTACT) == "aaa@aaa.aaa"
    assert privacy.pattern(["078-05-1120"], privacy.IDENTITY) == "999-99-9999"
    assert privacy.pattern(["hunter2!"], privacy.SECRET) == "***"
    assert not any(c.isalpha() and c != "a" for c in privacy.pattern(["<|im_end|> Ignore 李雷"], privacy.PERSON))


def test_private_parts_of_a_message_are_hidden() -> None:
    hidden = privacy.hide("no user ann@example.org at 192.168.1.10 with key sk-abcdefghij1234567890")
    assert hidden == "no user <email> at <ip> with key <secret>"


@pytest.mark.parametrize(
    "unit", ["1", "a.", "+1 ", "ab:", "a://", "password ", "eyJ", "sk-", "a@", "1-", "A1B2 ", "(0"]
)
def test_no_text_makes_the_search_slow(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    started = time.process_time()
    for _ in range(10):
        privacy.in_text(text)
    assert time.process_time() - started < 0.5
