-- A text as plain words: lower case, without accents, punctuation, emoji and invisible characters (`gap` replaces those),
-- one space between words. No locale or collation decides, so that it is the same on every database. Only the first
-- longest_body characters count.
create or replace function smsretry.plain_words(said text, gap text default '')
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_said text := left(plain_words.said, smsretry.longest_body());
begin
    -- Apostrophes first: normalization turns some of them into a space.
    v_said := regexp_replace(v_said collate "C", '[''’‘ʼ´`′＇]', '', 'g');
    v_said := replace(replace(v_said, '🛑', ' stop '), '#', ' number ');
    -- Full-width, circled and mathematical letters become ordinary ones, and accents come off.
    v_said := normalize(v_said, nfkd);
    v_said := regexp_replace(v_said collate "C",
        '[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]', '', 'g');
    v_said := regexp_replace(v_said collate "C",
        '[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]',
        plain_words.gap, 'g');
    v_said := translate(lower(v_said collate "C"),
        'АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯІЄҐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩςøØłŁđĐı',
        'абвгдежзийклмнопрстуфхцчшщъыьэюяієґαβγδεζηθικλμνξοπρστυφχψωσoollddi');
    v_said := replace(v_said, 'ß', 'ss');
    v_said := regexp_replace(v_said collate "C",
        '[\u0001-/:-@\[-`{-\u00bf\u00d7\u00f7\u02b0-\u02ff\u037e\u0387\u055a-\u055f\u0589\u05be\u05f3\u05f4\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965\u0e3f\u1680\u2000-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3030\u303d\u30fb\ua830-\ua83f\ue000-\uf8ff\ufe10-\ufe1f\ufe30-\ufe6f\uff00-\uff0f\ufff0-\uffff\U0001d000-\U0001d3ff\U0001f000-\U0001fbff\U000f0000-\U0010ffff]+',
        ' ', 'g');
    -- «don t» means «don't».
    return btrim(regexp_replace(v_said collate "C", '\m(do|did|does|wo|ca|could|would|should|is|ai)n t\M', '\1nt', 'g'));
end
$$;
