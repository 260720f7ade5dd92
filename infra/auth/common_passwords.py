"""The commonest passwords of eight and more characters, in lower case; shorter ones are refused anyway."""

from typing import Final

_WORDS: Final = """
    00000000 01234567 0123456789 11111111 1111111111 11112222 12121212 12312312 123123123 12341234
    1234512345 12345678 123456789 1234567890 12345678910 123456789a 123456789q 1234567a 1234qwer
    123654789 123698745 1357924680 147258369 159357456 19871987 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y
    1qaz2wsx 1qaz2wsx3edc 20202020 22222222 55555555 66666666 741852963 77777777 87654321 88888888
    987654321 9876543210 99999999 a1234567 a12345678 a123456789 aa123456 aa12345678 abc12345
    abcd1234 abcdefgh access14 admin123 administrator alexander asdf1234 asdfasdf asdfghjk asdfghjkl
    azerty123 babygirl barcelona baseball basketball benjamin blink182 butterfly caroline changeme
    changeme123 charlotte chocolate christian christopher cocacola computer corvette dkssud12
    dragon12 elephant elizabeth facebook fernando firebird football football1 galatasaray gfhjkm123
    google123 hello123 helloworld iloveyou iloveyou1 internet isabella jennifer jessica1 jonathan
    jordan23 killer123 letmein1 letmein123 liverpool liverpool1 lovelove manchester margarita
    master12 maverick mercedes metallica michelle midnight mustang1 nicholas october1 p@ssw0rd
    p@ssword pa55word passw0rd password password! password1 password1! password12 password123
    password1234 password2 patricia pokemon1 princess princess1 q1w2e3r4 q1w2e3r4t5 qazwsx123
    qazwsxedc qweasdzxc qwer1234 qwerasdf qwert123 qwert12345 qwerty12 qwerty123 qwerty1234
    qwerty12345 qwertyui qwertyuiop qwqwqwqw rjsdnfl1 samantha samsung1 sarang12 sarang123 scorpion
    secret123 slipknot spiderman starwars steelers sunshine sunshine1 superman superman1 tjdgus12
    tkfkdgo1 trustno1 unknown1 victoria welcome1 welcome123 whatever william1 wjddls12 wlgns123
    xbox3600 zaq12wsx zaq1zaq1 zxcvbnm1 zxcvbnm123 zxcvzxcv
"""

COMMON_PASSWORDS: Final = frozenset(_WORDS.split())
